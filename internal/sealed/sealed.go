// Package sealed closes registry.Object to this module: permissions and registry implement it, and nobody else can
// name the type its method returns.
package sealed

// Origin remembers the stored message that an object was read from. Writing the object starts from that message, so
// that what this library does not model survives. A copy of an object shares its origin, which nobody modifies.
type Origin struct {
	// Proto is the serialized message; nil for an object made in Go.
	Proto []byte
}

// Object is the sealing half of registry.Object.
type Object interface {
	// Origin returns the place where the object keeps its origin.
	Origin() *Origin
}
