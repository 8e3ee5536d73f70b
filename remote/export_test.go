package remote

// SetMaxMessage bounds answers of connections that are made from now on, and returns what undoes it.
func SetMaxMessage(bytes int) (undo func()) {
	was := maxMessage
	maxMessage = bytes
	return func() { maxMessage = was }
}

// EndOf is endOf.
var EndOf = endOf

// Untouched is untouched.
var Untouched = untouched
