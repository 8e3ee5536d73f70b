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

// claims are what a token says of itself. Nothing of it is verified: of whom it speaks counts only together with what the
// API says.
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

// account returns the parts of a subject system:serviceaccount:NAMESPACE:NAME. As in Feast, the first two may be any.
func (c claims) account() (namespace, name string, ok bool) {
	parts := strings.Split(c.subject, ":")
	if len(parts) != 4 {
		return "", "", false
	}
	return parts[2], parts[3], true
}

// isIntra reports whether the token is that of a server which knows the name of servers.
func (c claims) isIntra(intra string) bool {
	_, name, ok := c.account()
	return ok && intra != "" && subtle.ConstantTimeCompare([]byte(name), []byte(intra)) == 1
}

// intraToken is the unsigned token by which servers call each other: that of a service account without a namespace.
func intraToken(intra string) (string, error) {
	payload, err := json.Marshal(map[string]string{"sub": ":::" + intra})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode(payload) + ".", nil
}
