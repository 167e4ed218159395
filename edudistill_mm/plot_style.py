"""How plots look: sizes and colours fit for a paper, and what several of them draw alike."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

# Widths in inches of a column and of a page of a paper, in which plots are printed at their size.
COLUMN, PAGE = 3.35, 7.0
# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
SHADES = ('#EFEFEF', '#FFFFFF')
STYLE: Any = {
    'font.size': 8,
    'axes.titlesize': 8,
    'axes.labelsize': 8,
    'xtick.labelsize': 7,
    'ytick.labelsize': 7,
    'legend.fontsize': 7,
    'legend.title_fontsize': 7,
    'legend.frameon': False,
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.linewidth': 0.6,
    'lines.linewidth': 1.2,
    'lines.markersize': 4,
    'pdf.fonttype': 42,  # text stays text
    'svg.hashsalt': 'edudistill_mm',  # names in a file do not change from run to run
    'savefig.dpi': 200,
}
# Without a date, so that the same results give the same files.
METADATA: dict[str, dict[str, Any]] = dict(
    pdf=dict(CreationDate=None), svg=dict(Date=None), png={}
)
_NAME: dict[str, Any] = dict(va='bottom', fontsize=7, color='#555555')
_WIDTH_OF_LETTER = 0.06  # inches, of a font of 7 points


def shade_grades(
    axes: Sequence[Axes], names: Sequence[str], borders: Sequence[int], width: float
) -> bool:
    """Shade the grades in panels, and write their names above the first one.

    Args:
        axes (Sequence[Axes]): Panels whose horizontal axis is that of epochs (or iterations).
        names (Sequence[str]): What to write for each grade; lines are separated by newlines.
        borders (Sequence[int]): Where each grade ends.
        width (float): Width in inches of the grades in a panel. Names that are too long for their
            grade are all written at a slant.

    Returns:
        bool: Whether the names are level.
    """
    begins = [0, *borders[:-1]]
    longest = [max(map(len, name.split('\n'))) * _WIDTH_OF_LETTER for name in names]
    fits = all(
        length < (end - begin) / borders[-1] * width
        for length, begin, end in zip(longest, begins, borders)
    )
    slant: Any = dict(ha='center') if fits else dict(ha='left', rotation=30)
    for index, (name, begin, end) in enumerate(zip(names, begins, borders)):
        for ax in axes:
            ax.axvspan(begin, end, color=SHADES[index % 2], linewidth=0, zorder=0)
            ax.set_axisbelow(True)
        middle = (begin + end) / 2
        place = axes[0].get_xaxis_transform()
        axes[0].text(middle, 1.02, name, transform=place, **slant, **_NAME)
    return fits
