package permissions

import "testing"

func TestNames(t *testing.T) {
	if len(AllActions()) != 8 || len(AllResourceTypes()) != 12 || AllResourceTypes()[0] != Project {
		t.Error(AllActions(), AllResourceTypes())
	}
	for got, want := range map[string]string{
		ReadOnline.String(): "READ_ONLINE", Action(77).String(): "Action(77)", Action(-1).String(): "Action(-1)",
		OnDemandFeatureView.String(): "OnDemandFeatureView", PermissionKind.String(): "Permission", LabelView.String(): "LabelView",
		Kind(99).String(): "Kind(99)",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	all := AllResourceTypes()
	all[0] = LabelView
	if AllResourceTypes()[0] != Project {
		t.Error("AllResourceTypes hands out its own list")
	}
	p := &Permission{Name: "p", Project: "demo", Tags: map[string]string{"k": "v"}}
	if r := p.Resource(); r.Kind != PermissionKind || r.Name != "p" || r.Project != "demo" || r.Tags["k"] != "v" {
		t.Errorf("%+v", r)
	}
}
