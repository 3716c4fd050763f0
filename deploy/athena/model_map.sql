-- Base models of what hides them: application inference profiles, provisioned, custom and imported models. The same rows as
-- [models] in geophone.toml: the whole ARN, or the part behind its kind, and a model id. A model that is in no row is
-- reported as `kind/name`; it matches no pattern like `anthropic.claude*`, so keep this complete.
CREATE OR REPLACE VIEW model_map AS
SELECT * FROM (
  VALUES
    ('example-profile-1', 'us.anthropic.claude-sonnet-4-6'),
    ('example-profile-2', 'amazon.nova-pro-v1:0')
) AS t (name, model)
