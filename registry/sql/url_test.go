package sql_test

import (
	"errors"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/feastgo/feast/feasterr"
	registrysql "github.com/feastgo/feast/registry/sql"
)

func TestParseURL(t *testing.T) {
	for text, want := range map[string]struct {
		registrysql.URL
		masked string
	}{
		"postgresql://u:p@h:5432/d": {registrysql.URL{
			Scheme: "postgresql", User: "u", Password: "p", Host: "h", Port: "5432", Database: "d", Query: url.Values{},
		}, "postgresql://u:***@h:5432/d"},
		"postgresql+psycopg://us%40er:p%2Fw%3A%40%25@h/d?sslmode=require&application_name=a+b%21": {registrysql.URL{
			Scheme: "postgresql+psycopg", User: "us@er", Password: "p/w:@%", Host: "h", Database: "d",
			Query: url.Values{"sslmode": {"require"}, "application_name": {"a b!"}},
		}, "postgresql+psycopg://us@er:***@h/d"},
		"mysql+pymysql://u@[::1]:3306/d": {registrysql.URL{
			Scheme: "mysql+pymysql", User: "u", Host: "::1", Port: "3306", Database: "d", Query: url.Values{},
		}, "mysql+pymysql://u@[::1]:3306/d"},
		"mysql://u:a/b?c@h/d":                  {registrysql.URL{Scheme: "mysql", User: "u", Password: "a/b?c", Host: "h", Database: "d", Query: url.Values{}}, "mysql://u:***@h/d"},
		"postgresql+psycopg2://":               {registrysql.URL{Scheme: "postgresql+psycopg2", Query: url.Values{}}, "postgresql+psycopg2://"},
		"postgresql:///d?host=/var/run&host=b": {registrysql.URL{Scheme: "postgresql", Database: "d", Query: url.Values{"host": {"/var/run", "b"}}}, "postgresql:///d"},
		"sqlite:///rel.db":                     {registrysql.URL{Scheme: "sqlite", Database: "rel.db", Query: url.Values{}}, "sqlite:///rel.db"},
		"sqlite:////abs/a b.db?timeout=3":      {registrysql.URL{Scheme: "sqlite", Database: "/abs/a b.db", Query: url.Values{"timeout": {"3"}}}, "sqlite:////abs/a b.db"},
		"sqlite://":                            {registrysql.URL{Scheme: "sqlite", Query: url.Values{}}, "sqlite://"},
	} {
		u, err := registrysql.ParseURL(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !reflect.DeepEqual(*u, want.URL) {
			t.Errorf("%s is %#v", text, *u)
		}
		if got := u.String(); got != want.masked {
			t.Errorf("%s shows as %s, want %s", text, got, want.masked)
		}
	}
	for _, text := range []string{
		"", "registry.db", "postgresql:/secret@h", "postgresql://u:se%zzcret@h/d", "postgresql://u:secret@h:port/d",
		"postgresql://u:secret@h/d?a=%zz", "postgresql://u:sec@ret@h/d:x", "a-b://secret",
	} {
		u, err := registrysql.ParseURL(text)
		if !errors.Is(err, feasterr.ErrInvalid) || strings.Contains(err.Error(), "cret") {
			t.Errorf("%s: %v, %v", text, u, err)
		}
	}
}

// Whatever stands in a URL, it is parsed or refused, and its password is not shown.
func FuzzParseURL(f *testing.F) {
	for _, text := range []string{
		"postgresql://user:password@host:5432/database?sslmode=require", "sqlite:////abs.db", "mysql+pymysql://u:p%40@[::1]/d", "x://:@:/?",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := registrysql.ParseURL(text)
		if err != nil {
			if !errors.Is(err, feasterr.ErrInvalid) {
				t.Error(err)
			}
			return
		}
		const secret = "a secret that nothing else holds"
		if u.Password != "" {
			u.Password = secret
			if strings.Contains(u.String(), secret) || !strings.Contains(u.String(), ":***@") {
				t.Error(u.String())
			}
		}
	})
}

func TestMask(t *testing.T) {
	for _, tc := range []struct{ password, text, want string }{
		{"a", "a table of user:a@host is not a table", "a table of user:***@host is not a table"},
		{"a", `password=a host=h, "a"`, `password=*** host=h, "***"`},
		{"s3cr$t", "dial user:s3cr$t@h", "dial user:***@h"},
		{"p w", "postgresql://u:p%20w@h and u:p+w@h and password='p w'", "postgresql://u:***@h and u:***@h and password='***'"},
		{"a", "Table 'feast.entities' doesn't exist: a", "Table 'feast.entities' doesn't exist: a"},
		{"", "user:@host", "user:@host"},
	} {
		if got := registrysql.Mask(&registrysql.URL{Password: tc.password}, tc.text); got != tc.want {
			t.Errorf("%s: %s", tc.text, got)
		}
	}
}
