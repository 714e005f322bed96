//go:build unix

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is set by the linker (-X main.version=…); a build without that takes
// what the Go tool knows.
var version = ""

type versionCmd struct{}

// Run prints one line.
func (versionCmd) Run(c console) error {
	_, err := fmt.Fprintf(c.out, "sluice %s (%s, %s/%s)\n", versionText(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// versionText is the version, and the commit where the build knows it.
func versionText() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return or(version, "unknown")
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	text := or(version, info.Main.Version, "unknown")
	if commit != "" && version != "" {
		text += " " + commit + dirty
	}
	return text
}

// or is the first that is not empty.
func or(list ...string) string {
	for _, s := range list {
		if s != "" {
			return s
		}
	}
	return ""
}
