"""The scanner: how the head lies in it, where its slices are, and what its pixels add: blur, noise, streaks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ichnos.phantom.fields import Field, Plane

GRID = 256
"""Anatomy is evaluated on at most this many pixels a side (0.9 mm) and on three quarters of the matrix, then
interpolated: a soft kernel resolves no more, and it is four times cheaper than at 512."""

LOWEST_HU = -1024
"""The lowest value that a scanner stores: 12 bits with an intercept of −1024."""


@dataclass(frozen=True, eq=False)
class Scan:
    """One acquisition: geometry and quality. Lengths in mm, angles in radians, noise in HU.

    table: how much denser than air the head holder is, in HU; 0 where it is out of sight.
    """

    matrix: int
    count: int
    field_of_view: float
    step: float
    gantry: float
    lowest: float
    turn: NDArray[np.float64]
    centre: NDArray[np.float64]
    noise: float
    streaks: float
    motion: float
    table: float
    offset: NDArray[np.float64]

    @property
    def spacing(self) -> float:
        """mm between the centres of neighbouring pixels."""
        return self.field_of_view / self.matrix

    @property
    def orientation(self) -> NDArray[np.float64]:
        """ImageOrientationPatient: rows run to the patient's left, columns to the back, tilted with the gantry."""
        return np.array([1.0, 0.0, 0.0, 0.0, np.cos(self.gantry), np.sin(self.gantry)])

    @property
    def thickness(self) -> float:
        """mm of slice along its normal: the table's step seen at the gantry's tilt; slices neither gap nor overlap."""
        return self.step * float(np.cos(self.gantry))

    def positions(self) -> NDArray[np.float64]:
        """ImagePositionPatient of every slice, foot to head: the table moves along z whatever the gantry's tilt."""
        heights = self.lowest + self.step * np.arange(self.count)
        middle = np.stack([np.zeros(self.count), np.zeros(self.count), heights], axis=1) + self.centre
        half = 0.5 * (self.matrix - 1) * self.spacing
        return middle - half * self.orientation[:3] - half * self.orientation[3:] + self.offset

    def plane(self, index: int, fraction: float = 0.0) -> Plane:
        """The plane of a slice in the head's coordinates, on the evaluation grid; `fraction` of a step above it."""
        grid = min(GRID, 3 * self.matrix // 4)
        pixel = self.field_of_view / grid
        corner = self.positions()[index] - self.offset + np.array([0.0, 0.0, fraction * self.step])
        shift = 0.5 * (pixel - self.spacing)  # both grids cover the same square, so their first centres differ
        corner = corner + shift * (self.orientation[:3] + self.orientation[3:])
        return Plane(
            origin=self.turn @ corner,
            down=self.turn @ self.orientation[3:] * pixel,
            across=self.turn @ self.orientation[:3] * pixel,
            shape=(grid, grid),
            gravity=self.turn @ np.array([0.0, 1.0, 0.0]),
        )


LEAST_BONE = 0.10
"""The share of a slice that is bone from which on beams harden visibly: the skull base has more, the vault less."""


TURNED = 2.0
"""How much further than usual the heads of the injured are turned, who lie as they can."""


def draw_scan(
    rng: np.random.Generator, matrix: int, slices: tuple[int, int], size: float, *, injured: bool = False
) -> Scan:
    """An acquisition at random.

    size: the head's height over the middle in mm, so that the vertex is in the series. injured: heads are turned
    further, children's lie in smaller fields of view, and fields of view and head holders differ more. What is drawn of
    others is drawn as it would be without that.
    """
    turned = TURNED if injured else 1.0
    fewest, most = slices
    count = round(float(rng.triangular(fewest, fewest + 0.35 * (most - fewest), most + 0.01)))
    lowest = float(rng.uniform(-72, -58)) * (1.0 if injured else size / 89.0)  # a child's base is not drawn higher
    highest = size + float(rng.uniform(4, 12))
    gantry = float(np.deg2rad(rng.uniform(8, 22))) * (-1.0) if rng.random() < 0.35 else 0.0
    if gantry:  # a tilted gantry's slices leave the occiput lower: reach further down in front
        lowest += float(rng.uniform(0, 8))
    yaw, roll = np.deg2rad(rng.normal(0, 4.5 * turned)), np.deg2rad(rng.normal(0, 2.5 * turned))
    nod = np.deg2rad(rng.normal(0, 5.0 * turned)) + 0.6 * gantry
    if injured:
        field_of_view = 238.0 * (0.4 + 0.6 * size / 89.0) * float(rng.uniform(0.93, 1.2))
        holder = float(rng.uniform(800, 1800))
    else:
        field_of_view = float(np.clip(rng.normal(238, 11), 218, 262))
        holder = 900.0
    return Scan(
        matrix=matrix,
        count=count,
        field_of_view=field_of_view,
        step=(highest - lowest) / (count - 1),
        gantry=gantry,
        lowest=lowest,
        turn=_rotation(float(nod), float(roll), float(yaw)),
        centre=np.array([rng.normal(0, 4), rng.normal(-8, 5), 0.0]),
        noise=float(np.clip(rng.normal(4.0, 0.8), 2.6, 6.5)),
        streaks=float(rng.gamma(2.0, 1.2)),
        motion=float(rng.uniform(5, 12)) if rng.random() < 0.06 else 0.0,
        table=holder if rng.random() < 0.75 else 0.0,
        offset=np.array([0.0, rng.uniform(-150, -60), rng.uniform(-400, 900)]).round(2),
    )


def _rotation(nod: float, roll: float, yaw: float) -> NDArray[np.float64]:
    """From the scanner's axes to the head's: about x (chin down), y (ear to shoulder) and z (face to the side)."""
    cn, sn, cr, sr, cy, sy = np.cos(nod), np.sin(nod), np.cos(roll), np.sin(roll), np.cos(yaw), np.sin(yaw)
    about_x = np.array([[1, 0, 0], [0, cn, -sn], [0, sn, cn]])
    about_y = np.array([[cr, 0, sr], [0, 1, 0], [-sr, 0, cr]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return about_x @ about_y @ about_z


def noise_bank(rng: np.random.Generator, scan: Scan) -> Field:
    """Noise for a whole exam, correlated over neighbours as a soft kernel makes it, half as wide again as a slice."""
    size = scan.matrix + scan.matrix // 2
    white = rng.standard_normal((size + 2, size + 2), dtype=np.float32)
    white = white[:-2] + 1.2 * white[1:-1] + white[2:]
    white = white[:, :-2] + 1.2 * white[:, 1:-1] + white[:, 2:]
    return white * np.float32(scan.noise / 3.44)


def noise(rng: np.random.Generator, bank: Field, matrix: int) -> Field:
    """The noise of one slice: a cut-out of the exam's at a place of its own, turned over or not."""
    top, left = rng.integers(0, len(bank) - matrix, 2)
    cut = bank[top : top + matrix, left : left + matrix]
    cut = cut.T if rng.random() < 0.5 else cut
    return cut[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]


def streaks(rng: np.random.Generator, scan: Scan, bone: Field) -> Field:
    """Dark and light bands between dense bones (beam hardening, which grows with the bone in the slice) and, where
    the patient moved, straight streaks across the whole slice. HU, on the evaluation grid."""
    grid = bone.shape[0]
    ramp = np.linspace(-1.0, 1.0, grid, dtype=np.float32)
    rows, columns = ramp[:, None], ramp[None, :]
    out = np.zeros_like(bone)
    amount = float(bone.mean())
    for _ in range(3 if amount > LEAST_BONE else 0):
        angle, place = float(rng.normal(0, 0.5)), float(rng.uniform(-0.15, 0.3))
        across = rows * float(np.cos(angle)) + columns * float(np.sin(angle)) - place
        size = scan.streaks * (amount - LEAST_BONE) * 30.0 * float(rng.choice((-1.0, 1.0)))
        out += size * np.exp(-((across / float(rng.uniform(0.015, 0.07))) ** 2))
    if scan.motion:
        for _ in range(5):
            angle, place = float(rng.uniform(0, np.pi)), float(rng.uniform(-0.5, 0.5))
            across = rows * float(np.cos(angle)) + columns * float(np.sin(angle)) - place
            out += scan.motion * float(rng.normal()) * np.exp(-((across / float(rng.uniform(0.01, 0.04))) ** 2))
    return out


def table_hu(density: float, plane_pixel: float, grid: int) -> Field:
    """The head holder: a thin shell below and beside the head, HU above air, on the evaluation grid."""
    half = 0.5 * (grid - 1) * plane_pixel
    ramp = np.linspace(-half, half, grid, dtype=np.float32)
    y, x = ramp[:, None], ramp[None, :]
    radius = np.sqrt((x / 110.0) ** 2 + ((y + 4.0) / 117.0) ** 2)
    shell = np.exp(-(((radius - 1.0) / 0.011) ** 2)) * (y > 25.0)
    return density * shell.astype(np.float32)
