//go:build !race

package featureserver_test

const raceEnabled = false
