package feed

import (
	"encoding/json"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"

	"github.com/sluicehub/sluice/connectors"
)

// Config are the settings of a feed channel: a folder, or a bucket.
type Config struct {
	Folder     string `json:"folder,omitempty" address:"true" doc:"Absolute path of a folder that is there; the channel must be allowed private targets" example:"/srv/feeds/shop"`
	Endpoint   string `json:"endpoint,omitempty" doc:"Of a storage that speaks S3: scheme, host and port; Amazon's for the region where there is none" example:"https://minio.example:9000"`
	Region     string `json:"region,omitempty" doc:"The bucket's region; us-east-1 by default"`
	Bucket     string `json:"bucket,omitempty" address:"true" doc:"The bucket, which must be there"`
	Prefix     string `json:"prefix,omitempty" doc:"What all names in the bucket begin with, such as feeds/shop"`
	PathStyle  bool   `json:"path_style,omitempty" doc:"The bucket is in the path and not in the host's name: MinIO and most storages that are not Amazon's"`
	AccessKey  string `json:"access_key,omitempty" doc:"Access key with the rights to get, put, delete and list"`
	SecretKey  string `json:"secret_key,omitempty" secret:"true" doc:"Its secret key"`
	Format     string `json:"format,omitempty" doc:"xml (RSS 2.0, the default) or tsv"`
	File       string `json:"file,omitempty" doc:"The feed's name; feed.xml or feed.tsv by default"`
	Title      string `json:"title,omitempty" doc:"Of the feed itself, in XML"`
	ShopURL    string `json:"shop_url,omitempty" doc:"The shop's address, in XML"`
	Link       string `json:"link_template,omitempty" doc:"A product's address where its document has no link; {sku} stands for the SKU" example:"https://shop.example/p/{sku}"`
	BuildEvery *int   `json:"build_every_seconds,omitempty" doc:"Least time between two builds of the feed; 300 by default"`
	// Supplemental feeds complete another: only what is there is checked.
	Supplemental bool `json:"supplemental,omitempty" doc:"The feed only adds to another one: no attribute but the id is required"`
}

// settings are a checked Config.
type settings struct {
	Config
	endpoint *url.URL // nil for a folder
	every    time.Duration
}

// maxEvery bounds build_every_seconds: a ticket is not kept for longer than a day.
const maxEvery = 12 * time.Hour

// parse reads and checks a config. Its error is a *pim.Invalid with every problem.
func parse(raw json.RawMessage) (*settings, error) {
	var check connectors.ConfigCheck
	s := &settings{}
	check.Decode(raw, &s.Config)
	s.Prefix = strings.Trim(s.Prefix, "/")
	s.every = 5 * time.Minute
	if s.BuildEvery != nil {
		s.every = time.Duration(*s.BuildEvery) * time.Second
		if *s.BuildEvery < 0 || s.every > maxEvery {
			check.Add("build_every_seconds", "config.range", "must be from 0 to 43200")
		}
	}
	switch s.Format {
	case "":
		s.Format = formatXML
	case formatXML, formatTSV:
	default:
		check.Add("format", "config.format", "must be xml or tsv")
	}
	if s.File == "" {
		s.File = "feed." + s.Format
	}
	if s.File != path.Base(s.File) || strings.HasPrefix(s.File, ".") || strings.ContainsAny(s.File, `\:?#%`) || s.File == manifestName || s.File == stateDir {
		check.Add("file", "config.file", "must be a plain file name, and none of the connector's own")
	}
	if s.Link != "" && (!strings.Contains(s.Link, "{sku}") || !isLink(s.Link)) {
		check.Add("link_template", "config.link", "must begin with http:// or https:// and hold {sku}")
	}
	if s.ShopURL != "" {
		check.URL("shop_url", s.ShopURL)
	}
	switch {
	case s.Folder != "" && s.Bucket != "":
		check.Add("bucket", "config.target", "there is a folder already; a feed lies in one of the two")
	case s.Folder != "":
		if !filepath.IsAbs(s.Folder) {
			check.Add("folder", "config.folder", "must be an absolute path")
		}
		for field, value := range map[string]string{"endpoint": s.Endpoint, "region": s.Region, "prefix": s.Prefix, "access_key": s.AccessKey, "secret_key": s.SecretKey} {
			if value != "" {
				check.Add(field, "config.target", "belongs to a bucket, and the feed lies in a folder")
			}
		}
	default:
		s.checkBucket(&check)
	}
	return s, check.Err()
}

func (s *settings) checkBucket(check *connectors.ConfigCheck) {
	check.Need("bucket", s.Bucket, "access_key", s.AccessKey, "secret_key", s.SecretKey)
	if s.Bucket != "" && s3utils.CheckValidBucketNameStrict(s.Bucket) != nil {
		check.Add("bucket", "config.bucket", "is no name that a bucket can have")
	}
	if s.Region == "" {
		s.Region = "us-east-1"
	}
	for _, r := range s.Region {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			check.Add("region", "config.region", "has a character that no region has")
			return
		}
	}
	if s.Prefix != "" && (path.Clean(s.Prefix) != s.Prefix || strings.HasPrefix(s.Prefix, "..")) {
		check.Add("prefix", "config.prefix", "must be names separated by single slashes")
	}
	endpoint := s.Endpoint
	if endpoint == "" {
		endpoint = "https://s3." + s.Region + ".amazonaws.com"
	}
	u := check.URL("endpoint", endpoint)
	if u == nil {
		return
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		check.Add("endpoint", "config.url", "must be scheme, host and port and nothing else")
		return
	}
	u.Path = ""
	s.endpoint = u
}

// place names the target within the process: who builds there locks it.
func (s *settings) place() string {
	if s.Folder != "" {
		return "folder " + filepath.Clean(s.Folder)
	}
	if s.endpoint == nil {
		return ""
	}
	return "bucket " + s.endpoint.Host + "/" + s.Bucket + "/" + s.Prefix
}

func isLink(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}
