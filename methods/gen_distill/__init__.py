"""gen-distill: the generator-based distiller of Maekawa et al. 2024, one module a stage."""
