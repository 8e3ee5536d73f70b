//go:build race

package feast_test

// pooled is how many allocations a guard allows where memory is pooled: the race detector drops pooled memory now and then.
const pooled = 16
