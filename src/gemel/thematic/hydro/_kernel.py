"""All compiled code of the module: GR4J with degree-day snow, the learned residual and the step of an ensemble.

A basin's condition is one flat vector of `SIZE` float64 numbers (a row per ensemble member), so that a day is a pure
function `(condition, forcing, parameters) -> discharge` that can be stepped live, run over a record, or run over an
ensemble. The code stands in one file because numba's disk cache does not notice edits of a callee in another file.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.int32]

#: Longest unit hydrograph UH1 in days (the bound of x4); UH2 is twice as long.
UH = 12

# Places in the condition vector: stores, water under way, model error, then memories that the residual reads.
PRODUCTION, ROUTING, SNOW = 0, 1, 2
UH1 = 3
UH2 = UH1 + UH
ERROR = UH2 + 2 * UH
LAST_FLOW, WATER, LAST_WATER, MELT = ERROR + 1, ERROR + 2, ERROR + 3, ERROR + 4
WET2, WET5, WET15, WET45 = ERROR + 5, ERROR + 6, ERROR + 7, ERROR + 8
WARM3, WARM20 = ERROR + 9, ERROR + 10
SIZE = ERROR + 11

# Places in the parameter vector.
X1, X2, X3, X4, DEGREE_DAY, THRESHOLD = 0, 1, 2, 3, 4, 5

#: What the learned residual sees, in this order: nothing but past and present forcing and the model itself.
FEATURES = (
    "log_flow", "flow_change", "production_filling", "routing_filling", "uh1_content", "uh2_content", "uh1_next",
    "uh2_next", "snow", "melt", "water", "last_water", "wet2", "wet5", "wet15", "wet45", "warm3", "warm20", "rain",
    "temperature", "pet", "season_sin", "season_cos",
)  # fmt: skip


class Basin(NamedTuple):
    """What turns millimetres into transformed discharge: GR4J's six parameters, scale, Box-Cox offset and power."""

    parameters: Array
    scale: float
    offset: float
    power: float


class Forest(NamedTuple):
    """Regression trees as flat arrays; a leaf has `left == -1`; the sum of leaves starts at `start`."""

    feature: Index
    threshold: Array
    left: Index
    right: Index
    value: Array
    roots: Index
    start: float


class Noise(NamedTuple):
    """Standard deviations of the ensemble's daily perturbations (shares of 1, except temperature in K).

    Those of model error and observation are in transformed discharge; the memory is a share that is left after a day.
    """

    rain: float
    temperature: float
    production: float
    routing: float
    error: float
    error_memory: float
    observation: float


class Setup(NamedTuple):
    """All that moves an ensemble on by a day."""

    basin: Basin
    forest: Forest
    noise: Noise


@numba.njit(cache=True)
def s_curve1(day: float, x4: float) -> float:
    """Return the cumulative share of UH1 after `day` days (Perrin et al. 2003, eqs 9-11)."""
    if day <= 0.0:
        return 0.0
    return float((day / x4) ** 2.5) if day < x4 else 1.0


@numba.njit(cache=True)
def s_curve2(day: float, x4: float) -> float:
    """Return the cumulative share of UH2 after `day` days (Perrin et al. 2003, eqs 12-15)."""
    if day <= 0.0:
        return 0.0
    if day <= x4:
        return float(0.5 * (day / x4) ** 2.5)
    if day < 2.0 * x4:
        return float(1.0 - 0.5 * (2.0 - day / x4) ** 2.5)
    return 1.0


@numba.njit(cache=True)
def ordinates(x4: float) -> Array:
    """Return the ordinates of UH1 (first `UH`) and UH2 (then `2 UH`), each summing to 1 (eqs 16-17)."""
    out = np.empty(3 * UH)
    for k in range(UH):
        out[k] = s_curve1(k + 1.0, x4) - s_curve1(float(k), x4)
    for k in range(2 * UH):
        out[UH + k] = s_curve2(k + 1.0, x4) - s_curve2(float(k), x4)
    return out


@numba.njit(cache=True)
def snow_day(state: Array, rain: float, temperature: float, p: Array) -> float:
    """Return the water (mm) that reaches the soil in a day; updates the snow pack in place.

    Degree-day melt above a threshold which also parts snow from rain, over a range of 2 K around it (Hock 2003,
    doi 10.1016/S0022-1694(03)00257-9). A NaN temperature means that the basin has no snow.
    """
    if math.isnan(temperature):
        state[MELT] = 0.0
        return rain
    solid = rain * min(1.0, max(0.0, 0.5 * (p[THRESHOLD] + 1.0 - temperature)))
    melt = min(state[SNOW], p[DEGREE_DAY] * max(0.0, temperature - p[THRESHOLD]))
    state[SNOW] += solid - melt
    state[MELT] = melt
    return float(rain - solid + melt)


@numba.njit(cache=True)
def production_day(state: Array, water: float, pet: float, x1: float) -> float:
    """Return the water (mm) sent to routing by the production store (Perrin et al. 2003, eqs 1-8)."""
    s = state[PRODUCTION]
    excess = 0.0
    if water >= pet:
        net = water - pet
        t = math.tanh(min(net / x1, 13.0))
        stored = x1 * (1.0 - (s / x1) ** 2) * t / (1.0 + s / x1 * t)
        s += stored
        excess = net - stored
    else:
        t = math.tanh(min((pet - water) / x1, 13.0))
        s -= s * (2.0 - s / x1) * t / (1.0 + (1.0 - s / x1) * t)
    s = max(s, 0.0)
    percolation = s * (1.0 - (1.0 + (4.0 / 9.0 * s / x1) ** 4) ** -0.25)
    state[PRODUCTION] = s - percolation
    return float(percolation + excess)


@numba.njit(cache=True)
def routing_day(state: Array, routed: float, p: Array, uh: Array) -> float:
    """Return the discharge (mm d-1) after unit hydrographs, exchange and routing store (eqs 18-22)."""
    for k in range(UH - 1):
        state[UH1 + k] = state[UH1 + k + 1] + 0.9 * routed * uh[k]
    state[UH1 + UH - 1] = 0.9 * routed * uh[UH - 1]
    for k in range(2 * UH - 1):
        state[UH2 + k] = state[UH2 + k + 1] + 0.1 * routed * uh[UH + k]
    state[UH2 + 2 * UH - 1] = 0.1 * routed * uh[3 * UH - 1]
    exchange = p[X2] * (state[ROUTING] / p[X3]) ** 3.5
    r = max(0.0, state[ROUTING] + state[UH1] + exchange)
    flow = r * (1.0 - (1.0 + (r / p[X3]) ** 4) ** -0.25)
    state[ROUTING] = r - flow
    return float(flow + max(0.0, state[UH2] + exchange))


@numba.njit(cache=True)
def remember(state: Array, water: float, temperature: float) -> None:
    """Move the exponential memories of water and temperature on by a day, in place."""
    state[LAST_WATER] = state[WATER]
    state[WATER] = water
    state[WET2] = state[WET2] * math.exp(-1.0 / 2.0) + water
    state[WET5] = state[WET5] * math.exp(-1.0 / 5.0) + water
    state[WET15] = state[WET15] * math.exp(-1.0 / 15.0) + water
    state[WET45] = state[WET45] * math.exp(-1.0 / 45.0) + water
    if not math.isnan(temperature):
        state[WARM3] += (temperature - state[WARM3]) / 3.0
        state[WARM20] += (temperature - state[WARM20]) / 20.0


@numba.njit(cache=True)
def day(state: Array, rain: float, temperature: float, pet: float, p: Array, uh: Array) -> float:
    """Return the discharge (mm d-1) of one day and move `state` on by that day, in place."""
    water = snow_day(state, rain, temperature, p)
    remember(state, water, temperature)
    return routing_day(state, production_day(state, water, pet, p[X1]), p, uh)


@numba.njit(cache=True)
def fresh(p: Array) -> Array:
    """Return a condition with the production store 60 % and the routing store 70 % full; a warm-up year follows."""
    state = np.zeros(SIZE)
    state[PRODUCTION] = 0.6 * p[X1]
    state[ROUTING] = 0.7 * p[X3]
    return state


@numba.njit(cache=True)
def simulate(state: Array, rain: Array, temperature: Array, pet: Array, p: Array) -> Array:
    """Return discharge (mm d-1) for each day; `state` ends up at the last day."""
    uh = ordinates(p[X4])
    out = np.empty(rain.size)
    for t in range(rain.size):
        out[t] = day(state, rain[t], temperature[t], pet[t], p, uh)
    return out


@numba.njit(cache=True)
def transform(q: float, basin: Basin) -> float:
    """Return Box-Cox transformed discharge (Box & Cox 1964); errors are near to normal there."""
    return float(((q + basin.offset) ** basin.power - 1.0) / basin.power)


@numba.njit(cache=True)
def features(state: Array, flow: float, forcing: Array, basin: Basin, x: Array) -> None:
    """Write the `FEATURES` of the day just stepped into `x`; `forcing` is rain, temperature, PET, season angle."""
    p = basin.parameters
    log_flow = math.log(flow + basin.offset)
    x[0] = log_flow
    x[1] = log_flow - state[LAST_FLOW]
    state[LAST_FLOW] = log_flow
    x[2] = state[PRODUCTION] / p[X1]
    x[3] = state[ROUTING] / p[X3]
    x[4] = state[UH1:UH2].sum()
    x[5] = state[UH2:ERROR].sum()
    x[6] = state[UH1 + 1]
    x[7] = state[UH2 + 1]
    x[8] = state[SNOW]
    x[9] = state[MELT]
    x[10] = state[WATER]
    x[11] = state[LAST_WATER]
    for k in range(6):
        x[12 + k] = state[WET2 + k]
    x[18] = forcing[0]
    x[19] = 0.0 if math.isnan(forcing[1]) else forcing[1]
    x[20] = forcing[2]
    x[21] = math.sin(forcing[3])
    x[22] = math.cos(forcing[3])


@numba.njit(cache=True)
def grow(x: Array, forest: Forest) -> float:
    """Return the forest's prediction for one row of features (trees compare in float32, as they were trained)."""
    total = forest.start
    for root in forest.roots:
        node = root
        while forest.left[node] >= 0:
            small = np.float32(x[forest.feature[node]]) <= forest.threshold[node]
            node = forest.left[node] if small else forest.right[node]
        total += forest.value[node]
    return float(total)


@numba.njit(cache=True)
def predict(rows: Array, forest: Forest) -> Array:
    """Return the forest's prediction for each row of a (day, feature) matrix."""
    out = np.empty(rows.shape[0])
    for i in range(rows.shape[0]):
        out[i] = grow(rows[i], forest)
    return out


@numba.njit(cache=True)
def describe(state: Array, forcing: Array, basin: Basin) -> tuple[Array, Array]:
    """Return discharge (m3 s-1) and the feature matrix of an open-loop run; forcing is (day, 4)."""
    uh = ordinates(basin.parameters[X4])
    flow = np.empty(forcing.shape[0])
    rows = np.empty((forcing.shape[0], len(FEATURES)))
    for t in range(forcing.shape[0]):
        f = forcing[t]
        flow[t] = day(state, f[0], f[1], f[2], basin.parameters, uh) * basin.scale
        features(state, flow[t], f, basin, rows[t])
    return flow, rows


@numba.njit(cache=True)
def member_day(state: Array, forcing: Array, basin: Basin, uh: Array, forest: Forest, x: Array) -> float:
    """Return a member's transformed hybrid discharge of one day, its own error included."""
    p = basin.parameters
    flow = day(state, forcing[0], forcing[1], forcing[2], p, uh) * basin.scale
    features(state, flow, forcing, basin, x)
    return float(transform(flow, basin) + grow(x, forest) + state[ERROR])


@numba.njit(cache=True)
def perturb(state: Array, forcing: Array, e: Array, basin: Basin, noise: Noise) -> Array:
    """Return perturbed forcing and perturb the member's stores in place; `e` holds five standard normals."""
    p = basin.parameters
    state[PRODUCTION] = min(p[X1], max(0.0, state[PRODUCTION] * (1.0 + noise.production * e[2])))
    state[ROUTING] *= math.exp(noise.routing * e[3])
    state[ERROR] = noise.error_memory * state[ERROR] + noise.error * e[4]
    out = forcing.copy()
    out[0] = forcing[0] * math.exp(noise.rain * e[0] - 0.5 * noise.rain**2)
    out[1] = forcing[1] + noise.temperature * e[1]
    return out


@numba.njit(cache=True)
def advance(states: Array, forcing: Array, normals: Array, setup: Setup) -> Array:
    """Return the members' transformed discharge (member,) of one day, and move `states` on by that day, in place.

    Args:
        states: (member, SIZE), changed in place.
        forcing: (4,): rain mm, temperature degC, PET mm, season angle.
        normals: (member, 5) standard normal draws.
        setup: Parameters and transformation, learned residual, sizes of the perturbations.
    """
    basin, forest, noise = setup
    uh = ordinates(basin.parameters[X4])
    x = np.empty(len(FEATURES))
    out = np.empty(states.shape[0])
    for i in range(states.shape[0]):
        own = perturb(states[i], forcing, normals[i], basin, noise)
        out[i] = member_day(states[i], own, basin, uh, forest, x)
    return out


@numba.njit(cache=True)
def project(states: Array, weather: Array, setup: Setup) -> Array:
    """Return transformed discharge (member, lead) of members run into their own future; `states` stay as they are.

    Args:
        states: (member, SIZE).
        weather: (member, lead, 4): rain mm, temperature degC, PET mm, season angle.
        setup: As in `advance`; of the noise only the memory of the model error is used.
    """
    basin, forest, noise = setup
    uh = ordinates(basin.parameters[X4])
    x = np.empty(len(FEATURES))
    out = np.empty(weather.shape[:2])
    for i in range(states.shape[0]):
        state = states[i].copy()
        for k in range(weather.shape[1]):
            state[ERROR] *= noise.error_memory
            out[i, k] = member_day(state, weather[i, k], basin, uh, forest, x)
    return out
