"""For editable installs only; everything else is in pyproject.toml."""

from setuptools import Distribution, setup


class WithDataFiles(Distribution):
    """setuptools leaves data files out of editable installs, for it asks for `has_data`, which no
    distribution has. Ours enable the Jupyter server extension.
    """

    has_data = Distribution.has_data_files


setup(distclass=WithDataFiles)
