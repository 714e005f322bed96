package feed

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
)

// doubts says of a folder what keeps a feed from being written there, as this process
// sees it: who works the channel may be on another machine.
func doubts(config json.RawMessage, allowPrivate bool) []string {
	var c Config
	if json.Unmarshal(config, &c) != nil || c.Folder == "" {
		return nil
	}
	var list []string
	if !allowPrivate {
		list = append(list, "folder is on this machine, and this channel may not write to such: nothing will arrive. "+
			"Create it again, or change its config, by a process with --allow-private-targets (SLUICE_ALLOW_PRIVATE_TARGETS)")
	}
	info, err := os.Stat(c.Folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		list = append(list, "folder is not there, where this process runs; it is not made: nothing will arrive until it is")
	case err != nil:
		list = append(list, "folder cannot be looked at by this process: nothing will arrive where it is so for the workers, too")
	case !info.IsDir():
		list = append(list, "folder is none, but a file: nothing will arrive")
	case !writable(c.Folder):
		list = append(list, "folder cannot be written by this process: nothing will arrive where it is so for the workers, too")
	}
	return list
}
