"""Regridding: closed forms, conservation, all kinds of grids, gaps, errors, and weights that are computed once."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from gemel.base.errors import InvalidInput
from gemel.core.cubes import with_crs
from gemel.core.fusion import _regrid, healpix_mesh, mesh_of, regrid, regular_mesh
from gemel.core.graph import Surroundings, within

_GLOBE = regular_mesh(0, -90, 360, 90, 2)


def _on(mesh, values, **more) -> xr.DataArray:
    return xr.DataArray(
        np.reshape(values, (*np.shape(values)[:-1], *mesh.shape))
        if np.ndim(values) > 1
        else np.reshape(values, mesh.shape),
        dims=(*more.pop("dims", ()), *mesh.dims),
        coords=dict(mesh.coords),
        **more,
    )


def _wave(lon, lat):
    """A field without features finer than the grids here (spherical harmonics of degree 2 and less)."""
    up, across = np.radians(lat), np.radians(lon)
    return 10 + 3 * np.sin(up) + 2 * np.cos(up) ** 2 * np.cos(2 * across) + np.cos(up) * np.sin(up) * np.sin(across)


def _curvilinear() -> xr.DataArray:
    """A grid that is turned and bent, north-western Europe."""
    j, i = np.meshgrid(np.arange(40.0), np.arange(50.0), indexing="ij")
    lon, lat = -8 + 0.4 * i + 0.15 * j, 43 + 0.3 * j - 0.05 * i + 0.001 * i * j
    return xr.DataArray(_wave(lon, lat), dims=("j", "i"), coords={"lon": (("j", "i"), lon), "lat": (("j", "i"), lat)})


_TARGETS = {
    "region": regular_mesh(0, 45, 8, 51, 0.25),
    "healpix": healpix_mesh(16),
    "globe": regular_mesh(-180, -90, 180, 90, 3),
}
_TOLERANCE = {"nearest": 0.15, "bilinear": 0.005, "conservative": 0.12}


@pytest.mark.parametrize("method", ["nearest", "bilinear", "conservative"])
@pytest.mark.parametrize("target", list(_TARGETS))
@pytest.mark.parametrize("source", ["regular", "healpix"])
def test_a_smooth_field_stays_what_it_is(source, target, method):
    mesh = _GLOBE if source == "regular" else healpix_mesh(32)
    found = regrid(_on(mesh, _wave(*mesh.centres)), _TARGETS[target], method)
    wanted = _wave(*_TARGETS[target].centres).reshape(_TARGETS[target].shape)
    difference = np.abs(found.values - wanted)
    # Second derivatives of the field are below 8 per squared radian and cells 2 degrees wide: an eighth of h^2 f'' is 0.001
    # for lines between centres; nearest may be a cell off.
    assert np.nanmax(difference) < _TOLERANCE[method]
    assert np.isnan(found.values).mean() < (0.03 if target == "globe" and method == "bilinear" else 1e-9)


@pytest.mark.parametrize("method", ["nearest", "bilinear", "conservative"])
def test_a_curvilinear_grid_gives_its_region_and_nothing_outside(method):
    target = regular_mesh(-20, 40, 30, 60, 0.5)
    found = regrid(_curvilinear(), target, method)
    wanted = xr.DataArray(_wave(*target.centres).reshape(target.shape), dims=target.dims, coords=dict(target.coords))
    assert float(np.abs(found - wanted).max()) < {"nearest": 0.05, "bilinear": 1e-3, "conservative": 0.02}[method]
    assert np.isnan(found.sel(lon=-19.75, lat=40.25).item())
    assert 0.2 < float(found.notnull().mean()) < 0.6


def test_bilinear_is_exact_for_what_is_linear_between_centres_also_across_the_seam():
    mesh = regular_mesh(0, -90, 360, 90, 5)
    lon, lat = mesh.centres
    values = lat + np.abs(lon - 180)  # even about 0 degrees, so there is no jump at the seam
    target = regular_mesh(-1.25, -20, 1.25, 20, 0.5)
    found = regrid(_on(mesh, values), target, "bilinear")
    wanted = (
        target.centres[1].reshape(target.shape)
        + np.interp(np.mod(target.lon, 360), [0, 2.5, 357.5, 360], [177.5, 177.5, 177.5, 177.5])[None, :]
    )
    np.testing.assert_allclose(found.values, wanted, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1.0, 2.5, 4.0, 7.5, 15.0]),
    st.sampled_from([2.0, 3.0, 5.0, 12.0]),
    st.sampled_from([-180, 0, 20]),
    st.integers(0, 2**32 - 1),
)
def test_conservative_keeps_the_global_mean(given_step, wanted_step, west, seed):
    source, target = regular_mesh(0, -90, 360, 90, given_step), regular_mesh(west, -90, west + 360, 90, wanted_step)
    field = _on(source, np.random.default_rng(seed).normal(size=source.size))
    found = regrid(field, target, "conservative")
    means = [float(item.weighted(_areas(mesh)).mean()) for item, mesh in ((field, source), (found, target))]
    assert means[0] == pytest.approx(means[1], abs=1e-12)


def _areas(mesh) -> xr.DataArray:
    heights = np.abs(np.diff(np.sin(np.radians(mesh.lat_edges))))
    return xr.DataArray(heights, dims="lat", coords={"lat": mesh.lat})


def test_conservative_between_other_cells_keeps_the_mean_too():
    source, target = healpix_mesh(16), regular_mesh(0, -90, 360, 90, 10)
    field = _on(source, np.random.default_rng(5).normal(10, 3, source.size))
    found = regrid(field, target, "conservative")
    # All cells of HEALPix have one area; edges in the polar caps are curved where ours are straight.
    assert float(found.weighted(_areas(target)).mean()) == pytest.approx(float(field.mean()), rel=1e-3)


def test_healpix_is_as_published():
    # Górski et al. 2005: ring 0 of nside 2 lies at theta = arccos(1 - 1/12), phi = 45 degrees; base cells at +-41.8 and 0.
    two = healpix_mesh(2, "ring")
    assert two.lat[0] == pytest.approx(90 - np.degrees(np.arccos(1 - 1 / 12)))
    assert two.lon[0] == pytest.approx(45.0)
    one = healpix_mesh(1)
    assert sorted(np.round(np.unique(one.lat), 4)) == [-41.8103, 0.0, 41.8103]
    assert (np.diff(healpix_mesh(8, "ring").lat) <= 1e-9).all()
    np.testing.assert_allclose(healpix_mesh(8).vectors.sum(0), 0, atol=1e-9)
    # Four cells of the next order lie in one of nested order, under consecutive numbers.
    fine, coarse = healpix_mesh(16), healpix_mesh(8)
    np.testing.assert_allclose(np.sum(fine.vectors.reshape(-1, 4, 3).mean(1) * coarse.vectors, axis=1), 1, atol=2e-3)
    with pytest.raises(InvalidInput, match="nside = 12"):
        healpix_mesh(12)


def test_other_dimensions_are_carried_through():
    mesh = regular_mesh(0, 40, 10, 50, 1)
    values = np.arange(2 * 3 * mesh.size, dtype="f4").reshape(2, 3, mesh.size)
    times = pd.date_range("2020-01-01", periods=3)
    field = _on(mesh, values, dims=("realization", "t"), attrs={"units": "K"}).assign_coords(
        t=times, realization=[4, 9]
    )
    found = regrid(field.transpose("t", "lat", "lon", "realization"), regular_mesh(2, 42, 8, 48, 0.5), "bilinear")
    assert set(found.dims) == {"realization", "t", "lat", "lon"}
    assert found.dtype == np.float32
    assert found.attrs["units"] == "K"
    assert list(found.realization.values) == [4, 9]
    xr.testing.assert_allclose(
        found.sel(realization=9).transpose("t", "lat", "lon"),
        regrid(field.sel(realization=9), regular_mesh(2, 42, 8, 48, 0.5), "bilinear").transpose("t", "lat", "lon"),
    )


def test_gaps_take_no_more_than_the_stated_share():
    mesh, target = regular_mesh(0, 0, 4, 4, 1), regular_mesh(0, 0, 4, 4, 2)
    field = _on(mesh, np.ones(mesh.size))
    field[0, 0] = np.nan
    field[2:, 2:] = np.nan
    found = regrid(field, target, "conservative")
    assert found.values.tolist()[0] == [1.0, 1.0]
    assert np.isnan(found.values[1, 1])
    assert np.isnan(regrid(field, target, "conservative", missing=0.1).values[0, 0])


def test_errors_of_cells_are_added_in_squares():
    mesh, target = regular_mesh(0, 0, 4, 4, 1), regular_mesh(0, 0, 4, 4, 4)
    field = _on(mesh, np.full(mesh.size, 2.0), attrs={"standard_name": "air_temperature standard_error"})
    assert regrid(field, target, "conservative").item() == pytest.approx(2.0 / 4, rel=1e-3)


def test_a_projected_grid_is_placed_by_its_crs():
    x, y = np.arange(400_000.0, 500_000.0, 2_000.0), np.arange(5_700_000.0, 5_600_000.0, -2_000.0)
    field = with_crs(xr.DataArray(np.ones((len(y), len(x))), dims=("y", "x"), coords={"y": y, "x": x}), "EPSG:25832")
    lon, lat = mesh_of(field).centres
    field.values = lat.reshape(field.shape)
    found = regrid(field, regular_mesh(8, 50.8, 8.5, 51.2, 0.05), "bilinear")
    np.testing.assert_allclose(found.values, np.broadcast_to(found.lat.values[:, None], found.shape), atol=1e-4)
    assert 7 < lon.min() < 8 < lon.max() < 9.1


def test_weights_are_computed_once_and_kept(tmp_path, monkeypatch):
    field, target = _on(_GLOBE, _wave(*_GLOBE.centres)), regular_mesh(5, 45, 15, 55, 0.5)
    with within(Surroundings(tmp_path)):
        first = regrid(field, target, "bilinear")
        assert len(list((tmp_path / "cache" / "weights").glob("*.npz"))) == 1
        _regrid._weights.cache_clear()
        monkeypatch.setitem(_regrid.METHODS, "bilinear", None)  # computing them again would fail
        xr.testing.assert_identical(regrid(field, target, "bilinear"), first)


def test_only_the_part_that_counts_is_read(tmp_path):
    path = tmp_path / "globe.nc"
    _on(_GLOBE, _wave(*_GLOBE.centres), name="wave").to_netcdf(path, engine="h5netcdf")
    with xr.open_dataarray(path, engine="h5netcdf") as lazy:
        found = regrid(lazy, regular_mesh(5, 45, 15, 55, 0.5), "nearest")
        assert not lazy.variable._in_memory
    assert bool(found.notnull().all())


def test_what_can_not_be_placed_or_done_is_refused():
    with pytest.raises(InvalidInput, match="where the cells"):
        regrid(xr.DataArray(np.ones((2, 2)), dims=("a", "b")), _GLOBE)
    with pytest.raises(InvalidInput, match="nearest, bilinear"):
        try:
            regrid(_curvilinear(), _GLOBE, "cubic")
        except InvalidInput as error:
            raise InvalidInput(f"{error.message} {error.hint}") from error
    with pytest.raises(InvalidInput, match="no whole number"):
        regular_mesh(0, 0, 10, 10, 3)
