package permissions

import (
	"fmt"
	"testing"
)

// hundred makes an enforcer of 100 permissions with two patterns each, of which one covers "team_99_features".
func hundred() *Enforcer {
	var list []*Permission
	for i := range 100 {
		list = append(list, &Permission{
			Name: fmt.Sprint("p", i), NamePatterns: []string{fmt.Sprintf(`team_%d_\w+`, i), fmt.Sprintf(`(?:dev|prod)_%d_.*_v\d+`, i)},
			Actions: ReadActions(), Policy: RoleBased{[]string{fmt.Sprint("role_", i)}},
		})
	}
	return NewEnforcer(list)
}

// BenchmarkCheck measures one decision: for a name that is new, as after a change of the registry, and for one that was
// met before.
func BenchmarkCheck(b *testing.B) {
	user := User{Name: "u", Roles: []string{"role_99"}}
	r := Resource{Kind: FeatureView, Name: "team_99_features"}
	b.Run("uncached", func(b *testing.B) {
		e := hundred()
		b.ReportAllocs()
		for b.Loop() {
			clear(e.names)
			if err := e.Check(user, r, ReadOnline); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		e := hundred()
		b.ReportAllocs()
		for b.Loop() {
			if err := e.Check(user, r, ReadOnline); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) { // looking up an answer that is known
		type key struct {
			user, name string
			action     Action
		}
		known := map[key]bool{{user.Name, r.Name, ReadOnline}: true}
		for b.Loop() {
			if !known[key{user.Name, r.Name, ReadOnline}] {
				b.Fatal()
			}
		}
	})
	b.Run("compile", func(b *testing.B) {
		for b.Loop() {
			hundred()
		}
	})
}
