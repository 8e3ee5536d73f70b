package kubernetes

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/feastgo/feast/permissions/auth"
)

func jwt(payload string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + "."
}

func TestReadClaims(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)
	for token, want := range map[string]struct {
		claims
		ok bool
	}{
		jwt(`{"sub":"a:b:c:d","exp":10}`):                      {claims{"a:b:c:d", time.Unix(10, 0)}, true},
		jwt(`{"sub":"first","sub":"last"}`):                    {claims{"last", time.Time{}}, true},
		jwt(`{"SUB":"other","Exp":10}`):                        {claims{}, true},
		jwt(`{"sub":7,"exp":"soon"}`):                          {claims{}, true},
		jwt(`{"sub":null,"exp":null}`):                         {claims{}, true},
		jwt(`{"sub":{"sub":"nested"},"exp":[10]}`):             {claims{}, true},
		jwt(`{"kubernetes.io":` + deep + `,"sub":"s"}`):        {claims{"s", time.Time{}}, true},
		jwt(`{"exp":10.9}`):                                    {claims{"", time.Unix(10, 0)}, true},
		jwt(`{"exp":1e300}`):                                   {claims{"", time.Unix(1<<40, 0)}, true},
		jwt(`{"exp":1e999}`):                                   {claims{}, true},
		jwt(`{"exp":-1e300}`):                                  {claims{"", time.Unix(0, 0)}, true},
		jwt(`{}`) + "signature":                                {claims{}, true},
		strings.Replace(jwt(`{"sub":"a"}`), "fQ.", "fQ==.", 1): {claims{"a", time.Time{}}, true},
		jwt(strings.Repeat(`{"a":`, 20000)):                    {},
		jwt(`null`):                                            {},
		jwt(`["sub"]`):                                         {},
		jwt(`"sub"`):                                           {},
		jwt(`{"sub":"s"`):                                      {},
		jwt(`{"sub":"s"} {}`):                                  {},
		jwt(``):                                                {},
		"e30.!!!.":                                             {},
		"sha256~opaque":                                        {},
		"":                                                     {},
		".":                                                    {},
		"..":                                                   {},
		"e30.e30":                                              {},
		"e30.e30..":                                            {},
	} {
		c, ok := readClaims(token)
		if c.subject != want.subject || !c.expires.Equal(want.expires) || ok != want.ok {
			t.Errorf("%.80q: %+v, %t", token, c, ok)
		}
	}
}

func FuzzReadClaims(f *testing.F) {
	var g goldenTokens
	readJSON(f, "kubernetes_tokens.json", &g)
	for _, c := range g.Cases {
		if c.Token != nil {
			f.Add(*c.Token)
		} else {
			f.Add(sign(f, c.Claims, g.Fixture.Secret))
		}
	}
	f.Add(jwt(`{"sub":"a:b:c:d","exp":1e300}`))
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		c, ok := readClaims(token)
		if !ok && c != (claims{}) {
			t.Fatalf("%q is no JWT and says %+v", token, c)
		}
		if !c.expires.IsZero() && (c.expires.Unix() < 0 || c.expires.Year() > 40000) {
			t.Errorf("%q expires %v", token, c.expires)
		}
		if c.isIntra("") {
			t.Errorf("%q is of a server that has no name", token)
		}
		// What is made here is read here.
		back, ok := readClaims(auth.IntraToken("sub", ":::"+token))
		var want string
		text, _ := json.Marshal(token)
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if !ok || back.subject != ":::"+want || back.isIntra(want) != (want != "" && !strings.Contains(want, ":")) {
			t.Errorf("%q became %+v", token, back)
		}
	})
}
