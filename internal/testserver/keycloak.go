package testserver

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// KeycloakVersion is the version that tests start.
const KeycloakVersion = "26.7.3"

// keycloakTime is how long Keycloak may take to start: it compiles itself first.
const keycloakTime = 4 * time.Minute

var keycloak = server{env: "FEAST_TEST_KEYCLOAK", start: startKeycloak}

// Keycloak returns the URL of a Keycloak whose administrator is called admin, and has the password admin. It takes a minute
// to start and half a gigabyte of memory, so tests ask for it only with FEAST_TEST_FULL. FEAST_TEST_KEYCLOAK may name a
// running one.
func Keycloak(t testing.TB) (url string) {
	t.Helper()
	return keycloak.address(t)
}

// startKeycloak starts Keycloak, which comes through Maven, in its development mode: its data are files below its directory.
func startKeycloak() (string, error) {
	for program, pkg := range map[string]string{"mvn": "maven", "java": "openjdk-17-jre-headless"} {
		if err := install(program, pkg); err != nil {
			return "", err
		}
	}
	var url string
	err := onFreePort(func(port string) error {
		management, err := freePort()
		if err != nil {
			return err
		}
		url = "http://127.0.0.1:" + port
		return hold(startWithin(keycloakTime, unpackKeycloak, func(ctx context.Context, _ string) error {
			return answers(ctx, url+"/realms/master/.well-known/openid-configuration", nil)
		}, "env", "KC_BOOTSTRAP_ADMIN_USERNAME=admin", "KC_BOOTSTRAP_ADMIN_PASSWORD=admin", "JAVA_OPTS_KC_HEAP=-Xms64m -Xmx384m",
			"bash", filepath.Join("keycloak-"+KeycloakVersion, "bin", "kc.sh"), "start-dev",
			"--http-host=127.0.0.1", "--http-port="+port, "--http-management-port="+management))
	})
	return url, err
}

// unpackKeycloak puts a copy of the distribution into dir. Maven keeps the archive for the next time.
func unpackKeycloak(dir string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "mvn", "--batch-mode", "--quiet",
		"org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack",
		"-Dartifact=org.keycloak:keycloak-quarkus-dist:"+KeycloakVersion+":zip", "-DoutputDirectory="+dir)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("Keycloak cannot be had through Maven: %w\n%s", err, out)
	}
	return nil
}
