// Package redisbench measures reading from Redis against the least that anybody could do for the same answer, against what
// a program does with go-redis and the generated messages, and against Feast in Python where FEAST_PYTHON names one. It has
// nothing but benchmarks, which print tables: go test -run '^$' -bench . ./internal/redisbench
package redisbench
