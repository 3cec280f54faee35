"""PNG files of one pixel, for the tests that run a whole command and read no figure."""

from PIL import Image

from survlstm.report.figures import canvas


class OnePixelCanvas:
    """Writes one pixel in place of a figure.

    To draw it as PNG, after the SVG, takes a third of a small run. The tests of the figures and the commands in a
    process of their own draw them.
    """

    def __init__(self, figure):
        pass

    def print_png(self, path, metadata):
        Image.new("L", (1, 1)).save(path)


def draw_one_pixel(patch):
    """Let commands write such files until the patch is undone."""
    patch.setattr(canvas, "FigureCanvasAgg", OnePixelCanvas)
