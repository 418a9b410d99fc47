"""Tiles are drawn where the data lie, whatever reference system and order of axes they come in."""

from __future__ import annotations

import numpy as np
import pyproj
import pytest
import xarray as xr

from gemel.base.errors import InvalidInput, NotFound
from gemel.core.workspace import Style
from gemel.core.workspace._tiles import SIZE, picture_of

GREY = Style(minimum=0.0, maximum=255.0, ramp="grey")
WORLD_EDGE = 20037508.342789244  # half the circumference of EPSG:3857 in metres


def raster(values: np.ndarray, x: np.ndarray, y: np.ndarray, epsg: int) -> xr.DataArray:
    cube = xr.DataArray(values, dims=("y", "x"), coords={"y": y, "x": x})
    return cube.assign_coords(spatial_ref=xr.DataArray(0, attrs={"crs_wkt": pyproj.CRS.from_epsg(epsg).to_wkt()}))


def drawn(cube: xr.DataArray, place: tuple[int, int, int], style: Style = GREY) -> np.ndarray:
    """Return grey values as numbers, NaN where a tile is transparent, without the way through a PNG."""
    picture = picture_of(cube, style)
    seen = {}
    original = style.colours

    class Spy:
        resampling = style.resampling

        def colours(self, values, low, high):
            seen["values"] = values
            return original(values, low, high)

    picture._style = Spy()
    assert picture.tile(*place)[:4] == b"\x89PNG"
    return seen["values"]


def mercator(size: int) -> xr.DataArray:
    """Return a raster of the whole map whose cells are exactly the pixels of the zoom level that fits."""
    step = 2 * WORLD_EDGE / size
    x = -WORLD_EDGE + (np.arange(size) + 0.5) * step
    values = np.arange(size * size, dtype=float).reshape(size, size)
    return raster(values, x, -x, 3857)


def test_a_raster_on_the_tiles_own_grid_comes_out_cell_by_cell():
    cube = mercator(512)
    for column, row in ((0, 0), (1, 0), (0, 1), (1, 1)):
        expected = cube.values[row * SIZE : (row + 1) * SIZE, column * SIZE : (column + 1) * SIZE]
        np.testing.assert_array_equal(drawn(cube, (1, column, row)), expected)


@pytest.mark.parametrize("flip", [{"y": slice(None, None, -1)}, {"x": slice(None, None, -1)}])
def test_the_order_of_the_axes_does_not_matter(flip):
    cube = mercator(256)
    np.testing.assert_array_equal(drawn(cube.isel(flip), (0, 0, 0)), drawn(cube, (0, 0, 0)))


def test_bilinear_values_of_a_plane_lie_on_the_plane():
    lon, lat = np.linspace(-10, 10, 41), np.linspace(-8, 8, 33)
    plane = raster(lat[:, None] * 2.0 + lon[None, :], lon, lat, 4326)
    values = drawn(plane, (5, 16, 16), Style(ramp="grey", resampling="bilinear"))
    # The tile reaches from 0 to 11.25 degrees; pixel centres by the inverse of the spherical Mercator projection.
    pixel = (np.arange(SIZE) + 0.5) / SIZE * 11.25
    y = -(np.arange(SIZE) + 0.5) / SIZE * 2 * np.pi / 32
    latitude = np.degrees(np.arctan(np.sinh(y)))
    expected = latitude[:, None] * 2.0 + pixel[None, :]
    inside = (np.abs(pixel)[None, :] <= 10.0) & (np.abs(latitude)[:, None] <= 8.0)
    # pyproj's Mercator of EPSG:3857 is the spherical one, so only rounding is left.
    np.testing.assert_allclose(values[inside], expected[inside], atol=1e-9)


def test_gaps_are_transparent_and_do_not_spread():
    cube = mercator(256)
    cube = cube.where(cube != cube.values[100, 100])
    for resampling in ("nearest", "bilinear"):
        values = drawn(cube, (0, 0, 0), Style(ramp="grey", resampling=resampling))
        assert np.isnan(values[100, 100]) and np.isnan(values).sum() == 1


def test_longitudes_from_0_to_360_show_both_halves():
    lon, lat = np.arange(0.5, 360.0), np.arange(-59.5, 60.0)
    cube = raster(np.broadcast_to(lon, (120, 360)).copy(), lon, lat, 4326)
    values = drawn(cube, (0, 0, 0))
    assert values[128, 10] == pytest.approx(360 - 180 + 10.5 / 256 * 360, abs=1.0)
    assert values[128, 246] == pytest.approx(246.5 / 256 * 360 - 180, abs=1.0)


def test_other_dimensions_show_their_last_label_or_the_one_selected():
    cube = xr.concat(
        [mercator(256), mercator(256) + 1e6], xr.Variable("t", np.array(["2020-01-01", "2020-02-01"], "M8[ns]"))
    )
    assert drawn(cube, (0, 0, 0))[0, 0] == 1e6
    assert drawn(cube, (0, 0, 0), Style(ramp="grey", select=(("t", "2020-01-01"),)))[0, 0] == 0.0
    with pytest.raises(InvalidInput):
        picture_of(cube, Style(select=(("band", "B01"),)))


@pytest.mark.parametrize("place", [(-1, 0, 0), (0, 1, 0), (0, 0, 1), (3, 8, 0), (60, 0, 0)])
def test_there_is_no_tile_outside_of_the_map(place):
    with pytest.raises(NotFound):
        picture_of(mercator(4), GREY).tile(*place)


def test_what_is_no_map_is_refused():
    with pytest.raises(InvalidInput):
        picture_of(xr.DataArray([1.0], dims="t"), GREY)
    with pytest.raises(InvalidInput):
        picture_of(mercator(4).drop_vars("spatial_ref"), GREY)


def test_the_range_leaves_out_outliers_unless_it_is_given():
    cube = mercator(256)
    cube.values[0, 0] = 1e12
    assert picture_of(cube, Style()).high < 70_000
    assert picture_of(cube, Style(maximum=5.0)).high == 5.0
