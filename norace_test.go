//go:build !race

package feast_test

// pooled is how many allocations a guard allows where memory is pooled.
const pooled = 0
