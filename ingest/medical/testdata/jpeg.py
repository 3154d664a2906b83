"""Makes jpeg/*.dcm: a small image in the transfer syntaxes of JPEG, and jpeg/*.raw: its pixels as pydicom decodes them.

    pip install pydicom numpy pylibjpeg pylibjpeg-libjpeg; apt-get install dcmtk; python jpeg.py
"""

import pathlib
import subprocess

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset

ROWS, COLUMNS = 20, 24
here = pathlib.Path(__file__).parent / "jpeg"
here.mkdir(exist_ok=True)


def image(name, stored, signed, frames):
    r = np.random.default_rng(stored)
    y, x = np.mgrid[0:ROWS, 0:COLUMNS]
    top = (1 << stored) - 1
    v = np.stack([(top * (0.5 + 0.4 * np.sin(x / 5 + f) * np.cos(y / 7))).astype(np.int64) + r.integers(-5, 6, (ROWS, COLUMNS)) for f in range(frames)])
    v[:, :2, :3] = [[0, top, 0], [top, 0, top]]  # differences as large as they can be
    v -= (1 << (stored - 1)) if signed else 0
    bits = 8 if stored <= 8 else 16
    d = FileDataset(name, {}, preamble=b"\0" * 128)
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    d.file_meta.MediaStorageSOPClassUID = d.SOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    d.file_meta.MediaStorageSOPInstanceUID = d.SOPInstanceUID = d.SeriesInstanceUID = d.StudyInstanceUID = "1.2.3.4"
    d.Modality = "OT"
    d.Rows, d.Columns, d.SamplesPerPixel, d.PhotometricInterpretation = ROWS, COLUMNS, 1, "MONOCHROME2"
    d.BitsAllocated, d.BitsStored, d.HighBit, d.PixelRepresentation = bits, stored, stored - 1, int(signed)
    if frames > 1:
        d.NumberOfFrames = frames
    kind = np.dtype(f"<{'i' if signed else 'u'}{bits // 8}")
    d.PixelData = v.astype(kind).tobytes()
    path = here / f"{name}.plain"
    d.save_as(path, enforce_file_format=True)
    return path


def pack(plain, name, *options):
    out = here / f"{name}.dcm"
    subprocess.run(["dcmcjpeg", *options, "+un", str(plain), str(out)], check=True)
    v = pydicom.dcmread(out).pixel_array
    if "+eb" not in options:
        assert (v == pydicom.dcmread(plain).pixel_array).all(), name
    (here / f"{name}.raw").write_bytes(v.astype("<i4").tobytes())


twelve, sixteen, eight = image("twelve", 12, False, 1), image("sixteen", 16, True, 1), image("eight", 8, False, 2)
for predictor in range(1, 8):
    pack(twelve, f"lossless{predictor}", "+el", "+sv", str(predictor))
pack(sixteen, "first16", "+e1")
pack(eight, "first8", "+e1", "+fs", "1")
pack(eight, "baseline", "+eb", "+q", "90")
for p in (twelve, sixteen, eight):
    p.unlink()
