package sql

import (
	"net/url"
	"regexp"
	"strings"

	"github.com/feastgo/feast/feasterr"
)

// URL is where a database is, as SQLAlchemy writes it: scheme://user:password@host:port/database?key=value.
type URL struct {
	Scheme         string // "postgresql", "mysql+pymysql"
	User, Password string // decoded
	Host, Port     string // as written, an IPv6 address without its brackets; empty when they are not there
	Database       string // as written; of SQLite, a path
	Query          url.Values
}

// form is SQLAlchemy's: a password may hold anything but "@", a database anything but "?".
var form = regexp.MustCompile(`^([\w+]+)://(?:([^:/]*)(?::([^@]*))?@)?(?:(?:\[([^/?]+)\]|([^/:?]+))?(?::([^/?]*))?)?(?:/([^?]*))?(?:\?(.*))?$`)

// ParseURL parses a SQLAlchemy URL. User and password are percent-encoded in it, and so are keys and values of the query.
// The error is a feasterr.ErrInvalid that does not repeat the URL, since it may hold a password.
func ParseURL(text string) (*URL, error) {
	m := form.FindStringSubmatch(text)
	if m == nil {
		return nil, feasterr.Invalid("not a SQLAlchemy URL: it has the form scheme://user:password@host:port/database, " +
			"with user and password percent-encoded")
	}
	u := &URL{Scheme: strings.ToLower(m[1]), Host: m[4] + m[5], Port: m[6], Database: m[7]}
	var err, passwordErr error
	u.User, err = url.PathUnescape(m[2])
	u.Password, passwordErr = url.PathUnescape(m[3])
	if err != nil || passwordErr != nil {
		return nil, feasterr.Invalid("user or password of the URL are not percent-encoded: write %%25 for %%")
	}
	if u.Query, err = url.ParseQuery(m[8]); err != nil {
		return nil, feasterr.Invalid("what follows ? in the URL is not of the form key=value&key=value, percent-encoded")
	}
	if strings.Trim(u.Port, "0123456789") != "" || strings.Contains(u.Host, "@") {
		return nil, feasterr.Invalid("host or port of the URL are none: user and password have to be percent-encoded")
	}
	return u, nil
}

// String is the URL without its query, with *** for the password.
func (u *URL) String() string {
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != "" || u.Password != "" {
		b.WriteString(url.PathEscape(u.User))
		if u.Password != "" {
			b.WriteString(":***")
		}
		b.WriteByte('@')
	}
	if strings.Contains(u.Host, ":") {
		b.WriteString("[" + u.Host + "]")
	} else {
		b.WriteString(u.Host)
	}
	if u.Port != "" {
		b.WriteString(":" + u.Port)
	}
	if u.Database != "" {
		b.WriteString("/" + u.Database)
	}
	return b.String()
}

// mask removes the password from a text of a client: where it stands as a value, as in user:password@host, password=... or
// between quotation marks, and not where a word happens to be the same.
func (u *URL) mask(text string) string {
	if u == nil || u.Password == "" {
		return text
	}
	for _, secret := range []string{u.Password, url.PathEscape(u.Password), url.QueryEscape(u.Password)} {
		value := regexp.MustCompile("([:='\"`])" + regexp.QuoteMeta(secret) + "(['\"`@&,;)\\s]|$)")
		text = value.ReplaceAllString(text, "${1}***${2}")
	}
	return text
}
