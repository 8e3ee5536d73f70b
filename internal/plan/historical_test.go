package plan

import (
	"reflect"
	"testing"
	"time"

	"github.com/feastgo/feast/offline"
	"github.com/feastgo/feast/registry"
)

// Every kind of source reaches a store with all that tells where its rows are.
func TestOfflineSource(t *testing.T) {
	for _, c := range []struct {
		options registry.SourceOptions
		want    offline.Source
	}{
		{
			registry.FileOptions{Path: "p", Format: registry.FormatDelta, S3EndpointOverride: "e"},
			offline.Source{Kind: "FileSource", Path: "p", Format: "delta", EndpointOverride: "e"},
		},
		{registry.BigQueryOptions{Table: "t", Query: "q"}, offline.Source{Kind: "BigQuerySource", Table: "t", Query: "q"}},
		{
			registry.RedshiftOptions{Table: "t", Query: "q", Schema: "s", Database: "d"},
			offline.Source{Kind: "RedshiftSource", Table: "t", Query: "q", Schema: "s", Database: "d"},
		},
		{
			registry.SnowflakeOptions{Table: "t", Query: "q", Schema: "s", Database: "d"},
			offline.Source{Kind: "SnowflakeSource", Table: "t", Query: "q", Schema: "s", Database: "d"},
		},
		{registry.TrinoOptions{Table: "t", Query: "q"}, offline.Source{Kind: "TrinoSource", Table: "t", Query: "q"}},
		{
			registry.AthenaOptions{Table: "t", Query: "q", Database: "d", DataSource: "c"},
			offline.Source{Kind: "AthenaSource", Table: "t", Query: "q", Database: "d", Catalog: "c"},
		},
		{
			registry.SparkOptions{Table: "t", Query: "q", Path: "p", FileFormat: "csv", DatePartitionColumnFormat: "%Y"},
			offline.Source{Kind: "SparkSource", Table: "t", Query: "q", Path: "p", Format: "csv", DatePartitionFormat: "%Y"},
		},
		{
			registry.IcebergOptions{CatalogName: "c", Namespace: "s", Table: "t"},
			offline.Source{Kind: "IcebergSource", Catalog: "c", Schema: "s", Table: "t"},
		},
		{registry.PostgresOptions{Table: "t", Query: "q"}, offline.Source{Kind: "PostgreSQLSource", Table: "t", Query: "q"}},
		{registry.MsSQLOptions{TableRef: "t", ConnectionString: "secret"}, offline.Source{Kind: "MsSqlServerSource", Table: "t"}},
		{
			registry.CustomOptions{Class: "acme.stores.AcmeSource", Configuration: []byte("{}")},
			offline.Source{Kind: "AcmeSource", Custom: []byte("{}")},
		},
		{nil, offline.Source{}},
	} {
		c.want.Name, c.want.DatePartitionColumn, c.want.DateOnly = "name", "day", true
		got := OfflineSource(&registry.DataSource{Name: "name", DatePartitionColumn: "day", TimestampFieldType: "DATE", Options: c.options})
		if !reflect.DeepEqual(*got, c.want) {
			t.Errorf("%T: %+v, want %+v", c.options, *got, c.want)
		}
	}
}

func TestWindow(t *testing.T) {
	at := func(hour int) time.Time { return time.Date(2024, 1, 31, hour, 0, 0, 0, time.UTC) }
	zone := time.FixedZone("", 3600)
	ttls := func(ttls ...time.Duration) *Historical {
		p := &Historical{}
		for _, ttl := range ttls {
			p.Views = append(p.Views, offline.JoinView{TTL: ttl})
		}
		return p
	}
	for _, c := range []struct {
		plan                 *Historical
		start, end, from, to time.Time
	}{
		{ttls(time.Hour), at(1).In(zone), at(2).In(zone), at(1), at(2)},
		{ttls(time.Hour, 3*time.Hour, 0), time.Time{}, at(5), at(2), at(5)},
		{ttls(time.Hour), time.Time{}, time.Time{}, at(11), at(12)},
		{ttls(0), time.Time{}, at(0), at(0).AddDate(0, 0, -30), at(0)},
		{ttls(0), at(3), time.Time{}, at(3), at(12)},
	} {
		if from, to := c.plan.Window(c.start, c.end, at(12)); from != c.from || to != c.to {
			t.Errorf("%v to %v: %v to %v, want %v to %v", c.start, c.end, from, to, c.from, c.to)
		}
	}
}
