// Package interop holds tests that run against Feast itself, in Python: make interop. Both work on the same feature
// repositories, in turns and at the same time. testdata/peer.py is Feast's side; docs/architecture.md tells more.
package interop
