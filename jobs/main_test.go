package jobs_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim/postgres"
	"github.com/sluicehub/sluice/pim/seal"
)

// The test binary is also a worker process that tests kill and stop.
const (
	envWorker = "SLUICE_TEST_WORKER_DSN"
	envKeyset = "SLUICE_TEST_WORKER_KEYSET"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(envWorker); dsn != "" {
		if err := workerProcess(dsn, os.Getenv(envKeyset)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func workerProcess(dsn, keyset string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	store, err := postgres.Open(ctx, dsn, postgres.Options{})
	if err != nil {
		return err
	}
	defer store.Close()
	keys, err := seal.OpenOrCreate(keyset)
	if err != nil {
		return err
	}
	runner, err := jobs.New(jobs.Config{
		Store: store, Channels: jobs.NewChannels(store, all.Registry(), keys, connectors.Env{AllowPrivate: true, Version: "test"}),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Holder: fmt.Sprint("pid ", os.Getpid()), Work: true, Lease: 2 * time.Second, Sweep: 300 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	if err := runner.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	bound, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return runner.Stop(bound)
}

// process starts a worker process on the road's database; it is killed at the
// end of the test, and with the test.
func (r *road) process() *exec.Cmd {
	r.Helper()
	self, err := os.Executable()
	if err != nil {
		r.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), envWorker+"="+r.dsn, envKeyset+"="+r.keyset)
	cmd.Stdout, cmd.Stderr = testWriter{r}, testWriter{r}
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	return cmd
}
