"""Values as a stream of pickles with large buffers beside it."""
