package kubernetes

import (
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"math"
	"strings"
	"time"
)

// claims are what a token says of itself. Nothing of it is verified, and whose the token is, the API says: the subject counts
// only where servers call each other.
type claims struct {
	subject string    // "" when there is none
	expires time.Time // zero when there is none
}

// readClaims reads the payload of a JWT. ok is false for tokens that are none: the cluster may know others.
func readClaims(token string) (c claims, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return claims{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return claims{}, false
	}
	// A struct would also take names that differ in case.
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields == nil {
		return claims{}, false
	}
	if json.Unmarshal(fields["sub"], &c.subject) != nil {
		c.subject = ""
	}
	var seconds float64
	if exp := bytes.TrimSpace(fields["exp"]); json.Unmarshal(exp, &seconds) == nil && !bytes.Equal(exp, []byte("null")) {
		// Beyond these years the conversion has no meaning, and the bound none either.
		c.expires = time.Unix(int64(math.Max(0, math.Min(seconds, 1<<40))), 0)
	}
	return c, true
}

// isIntra reports whether the token is that of a server which knows the name of servers: the last of four parts of the subject,
// of which the others, as in Feast, may be any.
func (c claims) isIntra(intra string) bool {
	parts := strings.Split(c.subject, ":")
	return len(parts) == 4 && intra != "" && subtle.ConstantTimeCompare([]byte(parts[3]), []byte(intra)) == 1
}
