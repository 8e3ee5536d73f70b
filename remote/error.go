package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/feastgo/feast/feasterr"
)

// Error is what a Feast server answered instead of a result, or why there is no answer. errors.Is finds its class in
// feasterr where it has one.
type Error struct {
	Address string
	Method  string     // such as "GetEntity", or "get-online-features"
	Code    codes.Code // of a server that is called over gRPC, or of no answer
	Status  int        // of the answer of a server that is called over HTTP; 0: there is none
	// Class is that of Feast's exception, such as "EntityNotFoundException"; empty when the server did not name one.
	Class   string
	Message string

	class error
}

// Error implements error.
func (e *Error) Error() string {
	what := e.Code.String()
	switch {
	case e.Class != "":
		what = e.Class
	case e.Status != 0:
		what = strings.TrimSpace(fmt.Sprintf("status %d %s", e.Status, http.StatusText(e.Status)))
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
	switch {
	case e.exception(s.Message()):
	case e.Code == codes.Unknown && e.Message == unauthenticated:
		e.class = feasterr.ErrUnauthenticated
		e.Message = "the server refused the credentials or got none"
	case e.Code == codes.Unknown:
		e.Message = strings.TrimPrefix(e.Message, unexpected)
	case e.Code == codes.Internal && e.Message == garbled:
		e.class = feasterr.ErrInvalid
	case e.Code == codes.Unavailable:
		e.Message += hintOf(c.tls, e.Message)
	case e.Code == codes.ResourceExhausted && strings.Contains(e.Message, "larger than max"):
		e.class = feasterr.ErrInvalid
	}
	return e
}

// exception takes over an exception of Feast that a server put into its answer as JSON, if text is one.
func (e *Error) exception(text string) bool {
	var details struct{ Module, Class, Message *string }
	if json.Unmarshal([]byte(text), &details) != nil || details.Module == nil || details.Class == nil || details.Message == nil {
		return false
	}
	e.Class, e.Message = *details.Class, *details.Message
	if class := classOf(e.Class); class != nil {
		e.class = class
	}
	return true
}

// hintOf says what may be wrong where one side encrypts and the other does not.
func hintOf(tls bool, message string) string {
	switch {
	case tls && strings.Contains(message, "first record does not look like a TLS handshake"):
		return "; the server does not seem to use TLS: leave out is_tls and cert"
	case tls && strings.Contains(message, "server gave HTTP response to HTTPS client"):
		return "; the server does not seem to use TLS: let its address begin with http://"
	case tls && strings.Contains(message, "x509: certificate signed by unknown authority"):
		return "; cert has to name the certificates that signed the server's"
	case tls && strings.Contains(message, "x509: "):
		return "; the server's certificate is for another name or time"
	case !tls && (strings.Contains(message, "server preface") || strings.Contains(message, "closing transport due to: connection error: desc = \"error reading")):
		return "; the server may expect TLS: set is_tls, and cert unless the system knows who signed its certificate"
	case !tls && (strings.Contains(message, "malformed HTTP response") || strings.Contains(message, "HTTP request to an HTTPS server")):
		return "; the server may expect TLS: let its address begin with https://, and set cert unless the system knows who signed its certificate"
	}
	return ""
}

// unanswered is the error of a request without an answer.
func (c *HTTP) unanswered(method, token string, err error) error {
	e := &Error{Address: c.shown, Method: method, Code: codes.Unavailable, class: feasterr.ErrUnavailable}
	if u, ok := errors.AsType[*url.Error](err); ok { // which repeats the address
		err = u.Err
	}
	if errors.Is(err, errLong) {
		e.Code, e.class = codes.ResourceExhausted, feasterr.ErrInvalid
		e.Message = fmt.Sprintf("%v: it has more than %d bytes; ask for fewer rows or features at a time", err, c.max)
		return e
	}
	e.Message = hidden(err.Error(), token)
	e.Message += hintOf(c.tls, e.Message)
	return e
}

// refused is the error of an answer that is no success.
func (c *HTTP) refused(method, token string, status int, leads string, body []byte) error {
	e := &Error{Address: c.shown, Method: method, Status: status, class: classOfStatus(status)}
	var text string
	var details struct{ Detail any }
	switch {
	case status/100 == 3:
		e.Message = "the server redirects" + leads + ": name the server itself"
	case json.Unmarshal(body, &text) == nil:
		if !e.exception(text) {
			e.Message = pythonText(text)
			if e.class == nil {
				e.class = classOfText(e.Message)
			}
		}
	case json.Unmarshal(body, &details) == nil && details.Detail != nil:
		e.Message = detail(details.Detail)
	case len(body) == 0:
		e.Message = "the answer has no text"
	default:
		e.Message = string(body)
	}
	if status == http.StatusNotFound && e.Class == "" {
		e.Message += "; is this the address of a Feast server of the kind?"
	}
	e.Message = shortened(hidden(e.Message, token)) // a token that is cut in two would not be found
	e.Message += hintOf(c.tls, e.Message)
	return e
}

// elsewhere says where a redirect leads, without what may be secret there.
func elsewhere(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil {
		return ""
	}
	return " to " + (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// detail is the text of FastAPI's errors: one text, or a list of what is wrong with a request.
func detail(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	var texts []string
	for _, v := range list {
		item, _ := v.(map[string]any)
		loc, _ := item["loc"].([]any)
		where := make([]string, len(loc))
		for i, l := range loc {
			where[i] = fmt.Sprint(l)
		}
		texts = append(texts, fmt.Sprintf("%s: %v", strings.Join(where, "."), item["msg"])) // without the input
	}
	return strings.Join(texts, "; ")
}

// pythonText is the text of a Python exception; that of a KeyError comes as a literal.
func pythonText(s string) string {
	if n := len(s); n >= 2 && s[0] == s[n-1] && (s[0] == '\'' || s[0] == '"') {
		return s[1 : n-1]
	}
	return s
}

// maxText is how much of an answer an error repeats, in bytes.
const maxText = 2000

func shortened(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "..."
	}
	return s
}

// hidden leaves out a token that a server repeats.
func hidden(s, token string) string {
	if token == "" {
		return s
	}
	return strings.ReplaceAll(s, token, "(token)")
}

// classes are those of Feast's exceptions whose status code tells less than their name; those that are "not found" by
// their name are not listed.
var classes = map[string]error{
	"ConflictingFeatureViewNames":     feasterr.ErrInvalid,
	"FeastPermissionError":            feasterr.ErrDenied,
	"FeatureNameCollisionError":       feasterr.ErrInvalid,
	"FeatureViewPinConflict":          feasterr.ErrInvalid,
	"RegistryInferenceFailure":        feasterr.ErrInvalid,
	"VersionedOnlineReadNotSupported": feasterr.ErrUnsupported,
	// A request lacks a column: by its name it would be "not found".
	"RequestDataNotFoundInEntityRowsException": feasterr.ErrInvalid,
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

// classOfText returns what an error of a feature server with status 500 means, nil when its text does not tell.
func classOfText(text string) error {
	for _, known := range []struct {
		begin, within string
		class         error
	}{
		{"Feature ", " not found in projection ", feasterr.ErrNotFound},
		{"Missing join key values for keys: ", "", feasterr.ErrInvalid},
		{"No features specified for retrieval", "", feasterr.ErrInvalid},
		{"Invalid feature reference ", "", feasterr.ErrInvalid},
		{"Version-qualified ref ", " not supported", feasterr.ErrInvalid},
		{"All entity rows must have the same columns.", "", feasterr.ErrInvalid},
		{"All arrays must be of the same length", "", feasterr.ErrInvalid},
		{"Feature view ", " is disabled and cannot serve features", feasterr.ErrInvalid},
		{"Feature view ", " and cannot serve features. Only AVAILABLE_ONLINE", feasterr.ErrInvalid},
		{"pop from an empty set", "", feasterr.ErrInvalid},
		{"invalid literal for int()", "", feasterr.ErrInvalid},
		{"Value out of range: ", "", feasterr.ErrInvalid},
		{"Column ", " not found in table", feasterr.ErrInvalid},
		{"[", "] not in index", feasterr.ErrInvalid},
		{"Type `<class ", " not in {", feasterr.ErrInvalid},
		{"Field \"", " does not exist in schema", feasterr.ErrInvalid},
		{"Unknown datetime string format", "", feasterr.ErrInvalid},
	} {
		if strings.HasPrefix(text, known.begin) && strings.Contains(text, known.within) {
			return known.class
		}
	}
	return nil
}

// classOfStatus returns what a status of HTTP means, nil when it does not tell.
func classOfStatus(s int) error {
	switch s {
	case http.StatusUnauthorized:
		return feasterr.ErrUnauthenticated
	case http.StatusForbidden:
		return feasterr.ErrDenied
	case http.StatusNotFound:
		return feasterr.ErrNotFound
	case http.StatusConflict:
		return feasterr.ErrConflict
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return feasterr.ErrUnsupported
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return feasterr.ErrUnavailable
	}
	if s/100 == 3 || s/100 == 4 {
		return feasterr.ErrInvalid
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
