// Package embedded links the drivers that need no server: SQLite as the online store, Parquet files as the offline store, and
// the file registry.
//
//	import _ "github.com/feastgo/feast/drivers/embedded"
package embedded

import (
	_ "github.com/feastgo/feast/offline/file"    // type file, dask (Feast's default), and the Parquet codec
	_ "github.com/feastgo/feast/online/memory"   // type memory
	_ "github.com/feastgo/feast/online/sqlite"   // type sqlite, Feast's default
	_ "github.com/feastgo/feast/registry/file"   // registry_type file, Feast's default
	_ "github.com/feastgo/feast/registry/memory" // registry_type memory
)
