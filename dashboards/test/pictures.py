"""Draws panels from what live.py kept: pictures.py DATA FOLDER.

These are not Grafana's pictures: the numbers, titles, units, legends and thresholds are the dashboards', the drawing is not.
"""

import json
import re
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

# Picture to dashboard and the sections that are shown.
PICTURES = {
    "overview": ("overview", None),
    "departments": ("departments", ("Now", "Over time", "Who uses what")),
    "pipeline": ("pipeline", ("Reading", "Deciding", "Delivering")),
}
WIDTH_IN, ROW_IN = 15, 0.33
BACK, PAPER, INK, DIM = "#f4f5f5", "white", "#24292e", "#6e7681"
COLOURS = {"green": "#2e8b57", "orange": "#e07b00", "yellow": "#c9a400", "red": "#d0312d", "blue": "#2f6fb7", "transparent": "#ffffff"}
SERIES = ["#2f6fb7", "#e07b00", "#2e8b57", "#d0312d", "#7a52a8", "#8c6d46", "#d667a8", "#3aa6b9", "#9aa63a", "#6e7681"]


def said(value, unit):
    """A value with its unit, as short as Grafana would."""
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit in ("s", "ms", "dtdurations"):
        seconds = value / 1000 if unit == "ms" else value
        for size, name in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
            if abs(seconds) >= size:
                return f"{seconds / size:.3g} {name}"
        return f"{seconds * 1000:.3g} ms"
    ending = {"reqps": " /s", "eps": " /s"}.get(unit, "")
    for size, name in ((1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{name}{ending}"
    return f"{value:.3g}{ending}"


def colour(panel, value):
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return COLOURS[reached[-1]]


def named(answer):
    """(name, points) of every series."""
    return [(re.sub(r"\{\{(\w+)\}\}", lambda found: series["labels"].get(found.group(1), ""), answer["legend"]), series["points"])
            for series in answer["series"]]


def draw_stat(axes, panel, answers, unit):
    axes.axis("off")
    value = answers[0]["series"][0]["points"][-1][1]
    decimals = panel["fieldConfig"]["defaults"].get("decimals")
    text = said(value, unit) if decimals is None or value >= 1000 else f"{value:.{decimals}f}"
    for mapping in panel["fieldConfig"]["defaults"]["mappings"]:
        text = mapping["options"].get(f"{value:.0f}", {}).get("text", text)
    axes.text(0.5, 0.45, text, ha="center", va="center", fontsize=19, color=colour(panel, value), transform=axes.transAxes)


def draw_course(axes, panel, answers, unit, start):
    lines = sorted((line for answer in answers for line in named(answer)), key=lambda line: -sum(value for _, value in line[1]))
    # Series that are zero throughout say so once.
    shown = [line for line in lines if any(value for _, value in line[1])][:9]
    zero = len([line for line in lines if not any(value for _, value in line[1])])
    custom = panel["fieldConfig"]["defaults"]["custom"]
    times = sorted({at for _, points in shown for at, _ in points})
    base = dict.fromkeys(times, 0)
    for index, (name, points) in enumerate(shown):
        paint = SERIES[index % len(SERIES)]
        x, y, low = [at - start for at, _ in points], [value for _, value in points], [base[at] for at, _ in points]
        is_stacked = custom["stacking"]["mode"] == "normal"
        if custom["drawStyle"] == "bars":
            axes.bar(x, y, width=1.7, bottom=low, color=paint, label=name)
        elif is_stacked:
            axes.fill_between(x, low, [a + b for a, b in zip(low, y)], color=paint, alpha=0.75, label=name, linewidth=0)
        else:
            axes.plot(x, y, color=paint, label=name, linewidth=1.3)
        if is_stacked:
            base |= {at: base[at] + value for at, value in points}
    if zero and shown:
        axes.plot([], [], " ", label=f"{zero} more at zero")
    elif zero:
        axes.plot([at - start for at, _ in lines[0][1]], [0] * len(lines[0][1]), color=SERIES[2], label=f"{zero} series, all at zero")
    axes.set_ylim(bottom=0, top=None if shown else 1)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: said(value, unit)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))
    axes.grid(color="#e3e5e8", linewidth=0.6)
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), ncol=4, fontsize=6, frameon=False, handlelength=1, columnspacing=1, labelcolor=INK)


def draw_bars(axes, panel, answers, unit):
    pairs = [(name, points[-1][1]) for name, points in named(answers[0])][:12][::-1]
    drawn = axes.barh([name for name, _ in pairs], [value for _, value in pairs], color=[colour(panel, value) for _, value in pairs])
    axes.bar_label(drawn, [said(value, unit) for _, value in pairs], padding=3, fontsize=7)
    axes.xaxis.set_visible(False)
    axes.margins(x=0.12)


def draw_matrix(axes, panel, answers, unit):
    axes.axis("off")
    shape = panel["transformations"][0]["options"]
    row, column = shape["rowField"], shape["columnField"]
    cells = {(series["labels"][row], series["labels"][column]): series["points"][-1][1] for series in answers[0]["series"]}
    down, across = sorted({key[0] for key in cells}), sorted({key[1] for key in cells})
    values = [[cells.get((a, b), 0) for b in across] for a in down]
    table = axes.table([[f"{value:.0f}" for value in line] for line in values], rowLabels=down, colLabels=across, loc="center", bbox=[0.09, 0, 0.91, 1],
                       cellColours=[[colour(panel, value) for value in line] for line in values])
    table.auto_set_font_size(False)
    for (line, place), cell in table.get_celld().items():
        cell.set_edgecolor("#e3e5e8")
        is_value = line > 0 and place >= 0 and cell.get_facecolor()[:3] != (1, 1, 1)
        cell.get_text().set(fontsize=7, color="white" if is_value else INK, ha="center" if place >= 0 else "right")


def draw_heatmap(axes, panel, answers, unit, start):
    rows = sorted(answers[0]["series"], key=lambda series: float(series["labels"]["le"].replace("+Inf", "inf")))
    times = sorted({at for series in rows for at, _ in series["points"]})
    before = dict.fromkeys(times, 0)
    grid = []
    for series in rows:
        points = dict(series["points"])
        now = {at: points.get(at, 0) for at in times}
        grid.append([max(now[at] - before[at], 0) for at in times])
        before = now
    axes.imshow(grid, aspect="auto", origin="lower", cmap="Oranges", extent=(times[0] - start, times[-1] - start, -0.5, len(rows) - 0.5))
    axes.set_yticks(range(len(rows)), [("up to " + said(float(series["labels"]["le"]), unit)) if series["labels"]["le"] != "+Inf" else "more" for series in rows])
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.0f} s"))


def draw(figure, box, panel, answers, height, start):
    """One panel on its place of the grid."""
    x, y, w, h = box["x"] / 24, 1 - box["y"] / height, box["w"] / 24, box["h"] / height
    figure.add_artist(plt.Rectangle((x + 0.002, y - h + 0.06 / height), w - 0.004, h - 0.12 / height, facecolor=PAPER, edgecolor="#dcdfe3", linewidth=0.6, zorder=-1))
    figure.text(x + 0.007, y - 0.65 / height, panel["title"], fontsize=8.5, color=INK, weight="bold", va="center")
    unit, kind = panel["fieldConfig"]["defaults"]["unit"], panel["type"]
    left, below = {"bargauge": (0.09, 0.5), "timeseries": (0.034, 2.3), "heatmap": (0.06, 1.1)}.get(kind, (0.008, 0.4))
    axes = figure.add_axes((x + left, y - h + below / height, w - left - 0.012, h - (below + 1.2) / height))
    axes.set_facecolor(PAPER)
    axes.tick_params(labelsize=6.5, colors=DIM, length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    if kind in ("timeseries", "heatmap"):
        (draw_course if kind == "timeseries" else draw_heatmap)(axes, panel, answers, unit, start)
    else:
        {"stat": draw_stat, "bargauge": draw_bars, "table": draw_matrix}[kind](axes, panel, answers, unit)


def sections(dashboard):
    """Title of the section of every panel, by the panel's id."""
    title, found = None, {}
    for panel in dashboard["panels"]:
        title = panel["title"] if panel["type"] == "row" else title
        found[panel["id"]] = title
    return found


def picture(dashboard, kept, wanted, path):
    section = sections(dashboard)
    chosen = [item for item in kept if wanted is None or section[item["panel"]["id"]] in wanted]
    # Sections that are left out leave no gap.
    used = sorted({y for item in chosen for y in range(item["panel"]["gridPos"]["y"], item["panel"]["gridPos"]["y"] + item["panel"]["gridPos"]["h"])})
    height = len(used)
    start = min(at for item in chosen for answer in item["answers"] for series in answer["series"] for at, _ in series["points"] if len(series["points"]) > 1)
    figure = plt.figure(figsize=(WIDTH_IN, height * ROW_IN), facecolor=BACK)
    for item in chosen:
        place = item["panel"]["gridPos"] | {"y": used.index(item["panel"]["gridPos"]["y"])}
        draw(figure, place, item["panel"], item["answers"], height, start)
    figure.savefig(path, dpi=80, facecolor=BACK)
    plt.close(figure)
    # A palette is enough for this and a third of the bytes.
    Image.open(path).convert("RGB").quantize(160, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1024} kB")


def main():
    kept, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (dashboard, wanted) in PICTURES.items():
        source = json.loads((Path(__file__).parents[1] / f"{dashboard}.json").read_text())
        picture(source, kept[dashboard], wanted, folder / f"dashboard-{name}.png")


if __name__ == "__main__":
    main()
