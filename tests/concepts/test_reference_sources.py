"""Data sets in all their forms give the same samples."""

import h5py
import numpy as np
import pytest
import reference_nets as nets

import refcrp as rc
from refcrp import errors
from refcrp.concepts.sources import as_data

COUNT = 9


class Pairs:
    """A data set as torch has them: one sample at a time."""

    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.x)

    def __getitem__(self, k):
        return self.x[k], int(self.y[k])


@pytest.fixture
def file(tmp_path):
    x, y = nets.small_data(COUNT)
    path = tmp_path / "data.h5"
    with h5py.File(path, "w") as out:
        out["images"], out["labels"], out["half"] = x, y, x[:4]
    return path


def forms(file):
    x, y = nets.small_data(COUNT)
    yield x, y
    yield x.tolist() and [(image, label) for image, label in zip(x, y, strict=True)]
    yield Pairs(x, y)
    yield str(file)
    yield file
    yield rc.HDF5Data(file)
    yield rc.HDF5Data(file, prepare=np.array)
    with h5py.File(file) as opened:
        yield opened["images"], opened["labels"]


def test_all_forms_give_the_same(file):
    x, y = nets.small_data(COUNT)
    ids = np.array([7, 2, 3])
    results = []
    for form in forms(file):
        data = as_data(form)
        assert len(data) == COUNT
        for chosen in (ids, np.arange(2, 6)):
            read = data.read(chosen)
            assert np.array_equal(read.images, x[chosen])
            assert np.array_equal(read.labels, y[chosen])
            assert np.array_equal(data.batch(chosen).load().images, x[chosen])
        assert np.array_equal(data.images([8, 0]), x[[8, 0]])
        with pytest.raises(errors.FeatureError, match="sample 9"):
            data.images([COUNT])
        results.append(rc.ReferenceSamples.collect(nets.small_lrp(), form, "second", n=4, batch_size=4))
    assert all(nets.same_bits(result, results[0]) for result in results)
    assert all(result.settings == results[0].settings for result in results)


def test_what_is_stored_can_be_prepared(file):
    x, _ = nets.small_data(COUNT)
    data = rc.HDF5Data(file, labels=None, prepare=lambda images: images / 2)
    assert np.array_equal(data.images([1]), x[1:2] / 2)
    assert data.read(np.array([1])).labels is None


def test_wrong_data(file):
    with pytest.raises(errors.ParameterError, match=r"no dataset 'pictures'; there are"):
        rc.HDF5Data(file, "pictures")
    with pytest.raises(errors.ShapeError, match="4 images, but 9 labels"):
        rc.HDF5Data(file, "half")
    with pytest.raises(errors.ParameterError, match=r"sample 0 is 3"):
        as_data([3, 4, 5]).read(np.array([0]))
    with pytest.raises(errors.ShapeError):
        as_data([(np.zeros(2), 0), (np.zeros(3), 0)]).read(np.array([0, 1]))


def test_labels_may_be_several(file):
    x, _ = nets.small_data(4)
    labels = [[0], [1, 2], [], [3]]
    by_label = rc.ReferenceSamples.collect(
        nets.small_lrp(), list(zip(x, labels, strict=True)), "second", n=4, max_targets=2
    )
    given = rc.ReferenceSamples.collect(nets.small_lrp(), x, "second", n=4, targets=labels)
    assert nets.same_bits(by_label, given)
    assert given.contents.targets.tolist() == [[0, -1], [1, 2], [-1, -1], [3, -1]]
