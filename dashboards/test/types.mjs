// Checks the dashboards against Grafana's own types: types.mjs FOLDER, where node_modules is in FOLDER.
//
// Each panel is written into a TypeScript file as a literal that must satisfy the type of its kind, so a misspelt key, a
// wrong value or a missing option is an error. A few wrong panels must be errors: they show that the check bites.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const dashboards = join(fileURLToPath(import.meta.url), "../..");
const folder = process.argv[2];
const kinds = { stat: "Stat", timeseries: "TimeSeries", bargauge: "BarGauge", table: "Table", heatmap: "Heatmap" };
// Kinds whose own field options are a type of the schema. The others have none.
const custom = new Set(["timeseries", "table", "heatmap"]);

const place = (kind) => `@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${kinds[kind]}PanelCfg_types.gen`;
const lines = [
  'import type { Dashboard, DataSourceRef, FieldConfig, Panel, RowPanel, VariableModel } from "@grafana/schema";',
  ...Object.keys(kinds).map((kind) => `import type * as ${kind} from "${place(kind)}";`),
  `
// JSON holds an enum's values, not its names.
type Plain<T> = T extends string ? \`\${T}\`
  : T extends number ? (\`\${T}\` extends \`\${infer N extends number}\` ? N : number)
  : T extends (infer Item)[] ? Plain<Item>[]
  : T extends object ? { [Key in keyof T]: Plain<T[Key]> }
  : T;
interface Target {
  datasource: DataSourceRef; editorMode: "code"; expr: string; format: "time_series" | "table" | "heatmap";
  instant: boolean; legendFormat: string; range: boolean; refId: string;
}
interface Override { matcher: { id: "byName"; options: string }; properties: { id: string; value: unknown }[] }
type Shown<Kind extends string, Options, Custom> =
  Plain<Omit<Panel, "type" | "title" | "description" | "options" | "fieldConfig" | "targets">> & {
    type: Kind; title: string; description: string; options: Plain<Options>; targets: Target[];
    fieldConfig: { defaults: Plain<Omit<FieldConfig, "custom">> & { custom?: Plain<Custom> }; overrides: Override[] };
  };
type Frame = Plain<Omit<Dashboard, "panels" | "templating">> & { panels: []; templating: { list: Plain<VariableModel>[] } };
`,
];

const checked = (panel) => {
  if (panel.type === "row") return "Plain<RowPanel>";
  if (!(panel.type in kinds)) throw new Error(`no type is known for panels of the kind ${panel.type}`);
  return `Shown<"${panel.type}", ${panel.type}.Options, ${custom.has(panel.type) ? `${panel.type}.FieldConfig` : "never"}>`;
};
const literal = (value) => JSON.stringify(value);

let panels = 0;
let sample;
for (const name of ["overview", "incidents", "departments", "pipeline"]) {
  const dashboard = JSON.parse(readFileSync(join(dashboards, `${name}.json`), "utf8"));
  lines.push(`// ${name}`, `(${literal({ ...dashboard, panels: [] })}) satisfies Frame;`);
  for (const panel of dashboard.panels) {
    lines.push(`(${literal(panel)}) satisfies ${checked(panel)};`);
    panels += 1;
    if (panel.type === "timeseries") sample = panel;
  }
}

const wrong = [
  (panel) => { panel.options.legend.displayMode = "tabel"; },
  (panel) => { delete panel.options.tooltip; },
  (panel) => { panel.fieldConfig.defaults.custom.lineWidht = 1; },
  (panel) => { panel.gridPos.w = "12"; },
  (panel) => { panel.targets[0].legend = "x"; },
  (panel) => { panel.descripton = "x"; },
];
for (const spoil of wrong) {
  const panel = structuredClone(sample);
  spoil(panel);
  lines.push("// @ts-expect-error: this panel is wrong", `(${literal(panel)}) satisfies ${checked(panel)};`);
}

writeFileSync(join(folder, "check.ts"), lines.join("\n") + "\nexport {};\n");
const options = ["--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--moduleResolution", "nodenext", "--target", "es2022", "check.ts"];
const tsc = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", ...options], { cwd: folder, encoding: "utf8" });
process.stdout.write(tsc.stdout);
process.stderr.write(tsc.stderr);
if (tsc.status === 0) console.log(`${panels} panels and rows of 4 dashboards fit Grafana's types; ${wrong.length} wrong ones do not`);
process.exit(tsc.status ?? 1);
