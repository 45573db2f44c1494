"""An example plugin: the method `longest` and the task `errands`."""
