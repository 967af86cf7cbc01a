"""What frameworks of automatic differentiation need of plaq: values and reverse passes on plain arrays."""
