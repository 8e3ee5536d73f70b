package oidc

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/feastgo/feast/permissions"
)

// leeway is how much the clocks of the provider and of the server may differ.
const leeway = 10 * time.Second

// claims are those of a token, each as it was written. Names are compared exactly, unlike those of struct fields.
type claims map[string]json.RawMessage

// segments are how the parts of a token are written: without padding and with no bits left over, so that there is one text
// of a token. Line ends it passes over.
var segments = base64.RawURLEncoding.Strict()

// decodeClaims reads the second part of a token.
func decodeClaims(part string) (claims, error) {
	b, err := segments.DecodeString(part)
	if err != nil {
		return nil, errors.New("the payload is not base64")
	}
	return parseClaims(b)
}

func parseClaims(b []byte) (claims, error) {
	var c claims
	if !utf8.Valid(b) { // where encoding/json makes other names of names
		return nil, errors.New("the payload is not UTF-8")
	}
	if err := json.Unmarshal(b, &c); err != nil || c == nil {
		return nil, errors.New("the payload is no JSON object")
	}
	return c, nil
}

// text returns a claim that is a text.
func (c claims) text(name string) (string, bool) { return text(c[name]) }

func text(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err == nil
}

// object returns a member of an object, nil if it is none or has none.
func object(raw json.RawMessage, name string) json.RawMessage {
	if len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	var m claims
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return m[name]
}

// list returns a list, nil if it is none.
func list(raw json.RawMessage) []json.RawMessage {
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	var l []json.RawMessage
	if json.Unmarshal(raw, &l) != nil {
		return nil
	}
	return l
}

// seconds returns a time as Python's int reads it: a number, whose fraction counts for nothing, or a text that is a whole
// one. ok is whether the claim is there.
func (c claims) seconds(name string) (at float64, ok bool, err error) {
	raw, ok := c[name]
	if !ok {
		return 0, false, nil
	}
	if s, isText := text(raw); isText {
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return 0, true, errors.New(name + " is no number")
		}
		return float64(n), true, nil
	}
	at, err = strconv.ParseFloat(string(raw), 64)
	if err != nil {
		return 0, true, errors.New(name + " is no number")
	}
	return math.Trunc(at), true, nil
}

// checkTimes compares exp, nbf and iat with the time, and returns when the token ends: the zero Time when it does not. A token
// without exp does not, as in Feast.
func (c claims) checkTimes(now time.Time) (expires time.Time, err error) {
	seconds := float64(now.UnixNano()) / 1e9
	for _, name := range []string{"iat", "nbf"} {
		at, ok, err := c.seconds(name)
		switch {
		case err != nil:
			return time.Time{}, err
		case ok && at > seconds+leeway.Seconds():
			return time.Time{}, errors.New(name + " is in the future")
		}
	}
	exp, ok, err := c.seconds("exp")
	switch {
	case err != nil:
		return time.Time{}, err
	case !ok || exp > maxSeconds:
		return time.Time{}, nil
	case exp <= seconds-leeway.Seconds():
		return time.Time{}, errors.New("the token has expired")
	}
	return time.Unix(int64(exp), 0).Add(leeway), nil
}

// checkAudience wants the audience among those of the token.
func (c claims) checkAudience(want string) error {
	if s, ok := c.text("aud"); ok && s == want && s != "" { // an empty one is none, as in Feast
		return nil
	}
	found := false
	for _, raw := range list(c["aud"]) {
		s, ok := text(raw)
		if !ok {
			return errors.New("aud is neither a text nor a list of texts")
		}
		found = found || s == want
	}
	if !found {
		return errors.New("the token is for another audience")
	}
	return nil
}

// userClaims are where the name of a user is looked for.
var userClaims = []string{"preferred_username", "upn", "azp", "appid", "sub"}

// user returns whose the token is. The roles are those of the client, if clientID is not empty, and those of the token
// itself; what is no text can never equal a role or a group, and is left out.
func (c claims) user(clientID string) (permissions.User, error) {
	var u permissions.User
	named := false
	for _, name := range userClaims {
		if u.Name, named = c.text(name); named {
			break
		}
	}
	if !named {
		return u, errors.New("there is no username: none of " + strings.Join(userClaims, ", ") + " is a text")
	}
	var roles []json.RawMessage
	if clientID != "" {
		roles = list(object(object(c["resource_access"], clientID), "roles"))
	}
	for _, raw := range append(roles, list(c["roles"])...) {
		switch role, ok := text(raw); {
		case raw[0] == '[' || raw[0] == '{':
			return u, errors.New("a role is a list or an object")
		case ok && !slices.Contains(u.Roles, role):
			u.Roles = append(u.Roles, role)
		}
	}
	for _, raw := range list(c["groups"]) {
		if group, ok := text(raw); ok {
			u.Groups = append(u.Groups, group)
		}
	}
	return u, nil
}
