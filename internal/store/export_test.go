package store

import (
	"context"
	"net/http"
	"net/url"
)

// CreateContainer creates a container of Azure, which may exist.
func CreateContainer(ctx context.Context, name, server string) error {
	b, err := openAzure(ctx, Place{Scheme: Azure, Bucket: name}, Options{Endpoint: server})
	if err != nil {
		return err
	}
	err = discard(b.(*azure).do(ctx, azureRequest{method: http.MethodPut, query: url.Values{"restype": {"container"}}}))
	if f, ok := err.(*failure); ok && f.code == "ContainerAlreadyExists" { //nolint:errorlint // not wrapped
		return nil
	}
	return err
}
