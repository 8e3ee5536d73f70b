// Package all links every driver that is pure Go. A program that knows its stores links those alone and stays smaller.
//
//	import _ "github.com/feastgo/feast/drivers/all"
package all

import (
	_ "github.com/feastgo/feast/drivers/embedded"       // sqlite, memory, offline files, file registry
	_ "github.com/feastgo/feast/offline/remote"         // offline store type remote
	_ "github.com/feastgo/feast/online/hybrid"          // type hybrid
	_ "github.com/feastgo/feast/online/redis"           // type redis
	_ "github.com/feastgo/feast/online/remote"          // type remote
	_ "github.com/feastgo/feast/permissions/kubernetes" // auth type kubernetes
	_ "github.com/feastgo/feast/permissions/oidc"       // auth type oidc
	_ "github.com/feastgo/feast/registry/gcs"           // registry paths gs://
	_ "github.com/feastgo/feast/registry/remote"        // registry_type remote
	_ "github.com/feastgo/feast/registry/s3"            // registry paths s3://
	_ "github.com/feastgo/feast/registry/sql/mysql"     // registry_type sql on MySQL and MariaDB
	_ "github.com/feastgo/feast/registry/sql/postgres"  // registry_type sql on PostgreSQL
	_ "github.com/feastgo/feast/registry/sql/sqlite"    // registry_type sql on SQLite
)
