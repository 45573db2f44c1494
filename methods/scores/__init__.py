"""Methods that judge train rows by short trainings of a learner: difficulty scores and gradient matching."""
