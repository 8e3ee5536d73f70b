package remote

import (
	"encoding/json"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/feasterr"
)

// Error is what a Feast server answered instead of a result, or why there is no answer. errors.Is finds its class in
// feasterr where it has one.
type Error struct {
	Address string
	Method  string // such as "GetEntity"
	Code    codes.Code
	// Class is that of Feast's exception, such as "EntityNotFoundException"; empty when the server did not name one.
	Class   string
	Message string

	class error
}

// Error implements error.
func (e *Error) Error() string {
	what := e.Code.String()
	if e.Class != "" {
		what = e.Class
	}
	return fmt.Sprintf("%s of the server at %s: %s: %s", e.Method, e.Address, what, e.Message)
}

// Unwrap returns the class.
func (e *Error) Unwrap() error { return e.class }

// Answers of Feast's servers that are no JSON.
const (
	unauthenticated = "Error in service handler!"        // with code UNKNOWN
	unexpected      = "Exception calling application: "  // before the text of a Python exception, with code UNKNOWN
	garbled         = "Exception deserializing request!" // with code INTERNAL
)

func (c client) failed(method string, err error) error {
	s := status.Convert(err)
	e := &Error{
		Address: c.address, Method: method[strings.LastIndexByte(method, '/')+1:],
		Code: s.Code(), Message: s.Message(), class: classOfCode(s.Code()),
	}
	var details struct{ Module, Class, Message *string }
	switch {
	case json.Unmarshal([]byte(s.Message()), &details) == nil && details.Module != nil && details.Class != nil && details.Message != nil:
		e.Class, e.Message = *details.Class, *details.Message
		if class := classOf(e.Class); class != nil {
			e.class = class
		}
	case e.Code == codes.Unknown && e.Message == unauthenticated:
		e.class = feasterr.ErrUnauthenticated
		e.Message = "the server refused the credentials or got none"
	case e.Code == codes.Unknown:
		e.Message = strings.TrimPrefix(e.Message, unexpected)
	case e.Code == codes.Internal && e.Message == garbled:
		e.class = feasterr.ErrInvalid
	case e.Code == codes.Unavailable:
		e.Message += c.hint(e.Message)
	case e.Code == codes.ResourceExhausted && strings.Contains(e.Message, "larger than max"):
		e.class = feasterr.ErrInvalid
	}
	return e
}

// hint says what may be wrong where one side encrypts and the other does not.
func (c client) hint(message string) string {
	switch {
	case c.tls && strings.Contains(message, "first record does not look like a TLS handshake"):
		return "; the server does not seem to use TLS: leave out is_tls and cert"
	case c.tls && strings.Contains(message, "x509: certificate signed by unknown authority"):
		return "; cert has to name the certificates that signed the server's"
	case !c.tls && (strings.Contains(message, "server preface") || strings.Contains(message, "closing transport due to: connection error: desc = \"error reading")):
		return "; the server may expect TLS: set is_tls, and cert unless the system knows who signed its certificate"
	}
	return ""
}

// classes are those of Feast's exceptions whose status code tells less than their name; those that are "not found" by
// their name are not listed.
var classes = map[string]error{
	"ConflictingFeatureViewNames": feasterr.ErrInvalid,
	"FeastPermissionError":        feasterr.ErrDenied,
	"FeatureViewPinConflict":      feasterr.ErrInvalid,
	"RegistryInferenceFailure":    feasterr.ErrInvalid,
}

// classOf returns what an exception of Feast means, nil when its name does not tell.
func classOf(exception string) error {
	if class, ok := classes[exception]; ok {
		return class
	}
	if strings.Contains(exception, "NotFound") || strings.Contains(exception, "NotExist") {
		return feasterr.ErrNotFound
	}
	return nil
}

// classOfCode returns what a status code means, nil when it does not tell.
func classOfCode(c codes.Code) error {
	switch c {
	case codes.NotFound:
		return feasterr.ErrNotFound
	case codes.PermissionDenied:
		return feasterr.ErrDenied
	case codes.Unauthenticated:
		return feasterr.ErrUnauthenticated
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return feasterr.ErrUnavailable
	case codes.InvalidArgument, codes.OutOfRange, codes.FailedPrecondition:
		return feasterr.ErrInvalid
	case codes.Aborted, codes.AlreadyExists:
		return feasterr.ErrConflict
	case codes.Unimplemented:
		return feasterr.ErrUnsupported
	}
	return nil
}
