"""A line plot as SVG, with what a reader needs and nothing else."""

from dataclasses import dataclass

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 40, 50
COLOURS = ["#1b6ca8", "#d1495b", "#2e8b57", "#8e6c8a", "#b8860b"]


@dataclass
class Line:
    label: str
    points: list[tuple[float, float]]
    dashed: bool = False


def ticks(top: float) -> list[float]:
    """About five round steps from 0 to `top`."""
    step = 10 ** len(str(int(top))) / 10
    while top / step < 4:
        step /= 2
    while top / step > 8:
        step *= 2
    return [step * index for index in range(int(top / step) + 1)]


def short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def svg(title: str, x_label: str, y_label: str, lines: list[Line]) -> str:
    right = max(x for line in lines for x, _ in line.points) or 1
    top = max(y for line in lines for _, y in line.points) or 1
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return LEFT + x / right * width, TOP + height - y / top * height

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14" font-weight="bold">{title}</text>',
    ]
    for value in ticks(right):
        x, y = place(value, 0)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{y:.1f}" stroke="#eeeeee"/>')
        parts.append(f'<text x="{x:.1f}" y="{y + 16:.1f}" text-anchor="middle">{short(value)}</text>')
    for value in ticks(top):
        x, y = place(0, value)
        parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{LEFT + width}" y2="{y:.1f}" stroke="#eeeeee"/>')
        parts.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for index, line in enumerate(lines):
        colour = "#999999" if line.dashed else COLOURS[index % len(COLOURS)]
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line.points))
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if not line.dashed:
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
                for x, y in (place(*point) for point in line.points)
            ]
        y = TOP + 14 + index * 20
        parts.append(f'<line x1="{WIDTH - RIGHT + 12}" y1="{y - 4}" x2="{WIDTH - RIGHT + 36}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dash}/>')
        parts.append(f'<text x="{WIDTH - RIGHT + 42}" y="{y}">{line.label}</text>')
    parts.append(f'<text x="{LEFT + width / 2}" y="{HEIGHT - 12}" text-anchor="middle">{x_label}</text>')
    parts.append(
        f'<text x="16" y="{TOP + height / 2}" text-anchor="middle" transform="rotate(-90 16 {TOP + height / 2})">{y_label}</text>'
    )
    return "\n".join([*parts, "</svg>", ""])
