"""What all four dashboards are made of: panels, variables, links, and where a panel stands.

Every option that the panel's type in @grafana/schema requires is written out, so that the type check is complete and an
import changes nothing.
"""

SCHEMA_VERSION = 42
WIDTH = 24
# One place that says which data source: the variable. No uid is written down anywhere.
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
# Every selector begins with these two, so that one Prometheus may scrape several geophones.
SCOPE = 'job=~"$job", instance=~"$instance"'
DASHBOARDS = ("overview", "incidents", "departments", "pipeline")


def only(label, *wanted):
    """A selector of one value, or of any of several."""
    return f'{label}="{wanted[0]}"' if len(wanted) == 1 else f'{label}=~"{"|".join(wanted)}"'


def metric(name, *selectors):
    """A selector of geophone's metric `name`, within job and instance."""
    return f"geophone_{name}{{{', '.join((SCOPE, *selectors))}}}"


def per_second(name, *selectors, by=""):
    """Rate of a counter, summed over all instances that are looked at."""
    return f"sum{_by(by)} (rate({metric(name, *selectors)}[$__rate_interval]))"


def per_step(name, *selectors, by=""):
    """Growth of a counter within one step of the graph: for rare things, which nobody reads as a rate."""
    return f"sum{_by(by)} ({_growth(name, selectors, '$__rate_interval')})"


def in_range(name, *selectors, by=""):
    """Growth of a counter over the whole time range that is shown."""
    return f"sum{_by(by)} ({_growth(name, selectors, '$__range')})"


def _growth(name, selectors, window):
    """Growth of a counter within `window`.

    A counter that is not there before its first call begins with 1, and `increase` takes that for its starting point: a sweep that
    tries each model once would never be seen. Such a counter has grown by all that it shows, where its geophone was scraped
    before. All other counters begin with 0.
    """
    series = metric(name, *selectors)
    if name not in BORN_LATE:
        return f"increase({series}[{window}])"
    return (f"({series} unless {series} offset {window} and on (job, instance) {metric('records_total')} offset {window})"
            f" or increase({series}[{window}])")


def quantile(q, histogram):
    """A quantile of a histogram, over all instances that are looked at."""
    return f"histogram_quantile({q}, sum by (le) (rate({metric(histogram + '_bucket')}[$__rate_interval])))"


def _by(labels):
    return f" by ({labels})" if labels else ""


def steps(*colours_from):
    """Thresholds: `steps("green", ("orange", 5), ("red", 10))`. The first colour is that of everything below."""
    first, *rest = colours_from
    return [{"color": first, "value": None}] + [{"color": colour, "value": value} for colour, value in rest]


# Where a known department comes from; all other reasons say why it is not known.
KNOWN = only("reason", "session-tag", "cognito-subject", "directory", "role-map")
# Counters whose series appear with their first call, not with the process.
BORN_LATE = {"invocations_total"}
# For numbers that are neither good nor bad by themselves.
NEUTRAL = steps("blue")
ANY_IS_BAD = steps("green", ("red", 1))


def runbook(anchor):
    """A link to the runbook: a page, or a page and its section."""
    page, _, section = anchor.partition("#")
    title = f"Runbook: {section or page}"
    return _link(title, f"${{docs}}/runbook/{page}.md" + (f"#{section.lower()}" if section else ""))


def _link(title, url, new_tab=True):
    return {
        "asDropdown": False, "icon": "doc", "includeVars": False, "keepTime": False, "tags": [], "targetBlank": new_tab,
        "title": title, "tooltip": "", "type": "link", "url": url,
    }


def _targets(queries, instant, table=False):
    made = []
    for index, (expr, legend) in enumerate(queries):
        made.append({
            "datasource": DATASOURCE, "editorMode": "code", "expr": expr, "format": "table" if table else "time_series",
            "instant": instant, "legendFormat": legend, "range": not instant, "refId": chr(ord("A") + index),
        })
    return made


def _panel(kind, title, description, queries, unit, thresholds, options, *, size, custom=None, decimals=None, low=None,
           high=None, mappings=(), colour="thresholds", see=None, instant=False, table=False, name=None, data_links=(),
           transformations=(), overrides=()):
    defaults = {"color": {"mode": colour}, "links": list(data_links), "mappings": list(mappings),
                "thresholds": {"mode": "absolute", "steps": thresholds}, "unit": unit}
    for key, value in (("custom", custom), ("decimals", decimals), ("min", low), ("max", high), ("displayName", name)):
        if value is not None:
            defaults[key] = value
    panel = {
        "datasource": DATASOURCE, "description": description, "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
        "gridPos": {"h": size[1], "w": size[0], "x": 0, "y": 0}, "id": 0, "links": [runbook(see)] if see else [],
        "options": options, "targets": _targets(queries, instant, table), "title": title, "type": kind,
    }
    if transformations:
        panel["transformations"] = list(transformations)
    return panel


def stat(title, description, expr, unit, thresholds=None, *, size=(4, 4), instant=False, graph=True, legend="", **more):
    """One number, with its course behind it."""
    options = {
        "colorMode": "value", "graphMode": "area" if graph and not instant else "none", "justifyMode": "auto",
        "orientation": "auto", "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "showPercentChange": False, "textMode": "value", "wideLayout": True,
    }
    return _panel("stat", title, description, [(expr, legend or title)], unit, thresholds or NEUTRAL, options, size=size, instant=instant, **more)


def course(title, description, queries, unit, thresholds=None, *, size=(12, 8), stacked=False, bars=False, line=False, calcs=None, **more):
    """Numbers over time. `line` draws the thresholds."""
    custom = {
        "axisBorderShow": False, "axisLabel": "", "axisPlacement": "auto", "drawStyle": "bars" if bars else "line",
        "fillOpacity": 60 if bars else (30 if stacked else 10), "gradientMode": "none",
        "hideFrom": {"legend": False, "tooltip": False, "viz": False}, "lineInterpolation": "linear", "lineWidth": 1,
        "scaleDistribution": {"type": "linear"}, "showPoints": "never", "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if stacked else "none"},
        "thresholdsStyle": {"mode": "dashed" if line else "off"},
    }
    options = {
        "legend": {"calcs": calcs or ["lastNotNull", "max"], "displayMode": "table", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    more.setdefault("low", 0)
    return _panel("timeseries", title, description, queries, unit, thresholds or NEUTRAL, options, size=size, custom=custom,
                  colour="palette-classic", **more)


def bars(title, description, expr, legend, unit, thresholds=None, *, size=(12, 8), **more):
    """One bar a label value: the sum over the time range."""
    options = {
        "displayMode": "basic", "legend": {"calcs": [], "displayMode": "list", "placement": "bottom", "showLegend": False},
        "maxVizHeight": 300, "minVizHeight": 16, "minVizWidth": 8, "namePlacement": "auto", "orientation": "horizontal",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "showUnfilled": True, "sizing": "auto", "valueMode": "color",
    }
    return _panel("bargauge", title, description, [(expr, legend)], unit, thresholds or NEUTRAL, options, size=size, instant=True, low=0, **more)


def matrix(title, description, expr, row, column, unit, thresholds=None, *, size=(12, 9), **more):
    """Sums over the time range by two labels, one down and one across."""
    custom = {"align": "auto", "cellOptions": {"mode": "basic", "type": "color-background"}, "inspect": False}
    options = {"cellHeight": "sm", "frameIndex": 0, "showHeader": True}
    shape = [{"id": "groupingToMatrix", "options": {"columnField": column, "emptyValue": "zero", "rowField": row, "valueField": "Value"}}]
    # The column of names is no number and has no colour.
    plain = [{"matcher": {"id": "byName", "options": f"{row}\\{column}"},
              "properties": [{"id": "custom.cellOptions", "value": {"type": "auto"}}, {"id": "displayName", "value": row}]}]
    return _panel("table", title, description, [(expr, "")], unit, thresholds or NEUTRAL, options, size=size, custom=custom, instant=True,
                  table=True, transformations=shape, overrides=plain, **more)


def heatmap(title, description, expr, unit, *, size=(12, 8), **more):
    """A histogram's buckets over time."""
    options = {
        "calculate": False, "cellGap": 1, "cellValues": {},
        "color": {"exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False, "scale": "exponential", "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"}, "filterValues": {"le": 1e-9}, "legend": {"show": True},
        "rowsFrame": {"layout": "auto"}, "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }
    custom = {"hideFrom": {"legend": False, "tooltip": False, "viz": False}, "scaleDistribution": {"type": "linear"}}
    panel = _panel("heatmap", title, description, [(expr, "{{le}}")], unit, NEUTRAL, options, size=size, custom=custom, **more)
    panel["targets"][0]["format"] = "heatmap"
    return panel


def values(*pairs):
    """Words and colours in the place of numbers: `values((0, "down", "red"))`."""
    return [{"type": "value", "options": {str(value): {"color": colour, "index": index, "text": text}
                                          for index, (value, text, colour) in enumerate(pairs)}}]


def label_variable(name, label, series):
    """A variable over the values of one label, all of them at first."""
    query = f"label_values({series}, {name})"
    return {
        "allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}, "datasource": DATASOURCE,
        "hide": 0, "includeAll": True, "label": label, "multi": True, "name": name, "options": [],
        "query": {"qryType": 1, "query": query, "refId": f"variable-{name}"}, "refresh": 2, "regex": "", "skipUrlSync": False, "sort": 1, "type": "query",
    }


def _variables(own):
    source = {"hide": 0, "includeAll": False, "label": "Data source", "multi": False, "name": "datasource", "options": [],
              "query": "prometheus", "refresh": 1, "regex": "", "skipUrlSync": False, "type": "datasource"}
    place = "https://example.com/geophone/docs"
    docs = {"current": {"selected": True, "text": place, "value": place}, "hide": 0, "label": "Runbooks at", "name": "docs",
            "options": [{"selected": True, "text": place, "value": place}], "query": place, "skipUrlSync": False, "type": "textbox"}
    scope = [label_variable("job", "Job", "geophone_events_total"), label_variable("instance", "Instance", 'geophone_events_total{job=~"$job"}')]
    return [source, *scope, *own, docs]


def _laid_out(sections):
    """Panels below their section's row, as high as they fit."""
    placed, y = [], 0
    for title, panels in sections:
        placed.append({"collapsed": False, "gridPos": {"h": 1, "w": WIDTH, "x": 0, "y": y}, "id": 0, "panels": [], "title": title, "type": "row"})
        tops = [y + 1] * WIDTH
        for panel in panels:
            place = panel["gridPos"]
            # The highest free place, and of those the leftmost: small panels fill the column beside a large one.
            fits = range(WIDTH - place["w"] + 1)
            place["y"], place["x"] = min((max(tops[x:x + place["w"]]), x) for x in fits)
            tops[place["x"]:place["x"] + place["w"]] = [place["y"] + place["h"]] * place["w"]
            placed.append(panel)
        y = max(tops)
    for number, panel in enumerate(placed, 1):
        panel["id"] = number
    return placed


def dashboard(name, title, description, sections, variables=(), runbooks=("pipeline",)):
    """A dashboard from its sections: a list of (title, panels)."""
    # By tag, so that the links hold under any path that Grafana is served from.
    others = {"asDropdown": False, "icon": "external link", "includeVars": True, "keepTime": True, "tags": ["geophone"], "targetBlank": False,
              "title": "geophone", "tooltip": "The other dashboards, with the same time and data source", "type": "dashboards", "url": ""}
    return {
        "annotations": {"list": []}, "description": description, "editable": True, "fiscalYearStartMonth": 0, "graphTooltip": 1,
        "links": [others, *(runbook(page) for page in runbooks)], "panels": _laid_out(sections), "refresh": "30s", "schemaVersion": SCHEMA_VERSION,
        "tags": ["geophone", "bedrock", "security"], "templating": {"list": _variables(variables)}, "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser", "title": title, "uid": f"geophone-{name}", "version": 1,
    }
