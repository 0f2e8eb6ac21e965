"""Where the notebook's kernel bends IPython and ipykernel, or relies on what these do not promise.

- `ipykernel`: the control channel's handlers, the request that runs, iopub; ipykernel 6.29 to 7.
- `ipython`: how errors and results are shown, what is said of a transformer; IPython 9.

`tests/magic/test_hooks.py` fails when one of them moves.
"""
