package grpc

import (
	"context"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/voxelstream/voxelstream/serve/models"
	v2 "github.com/voxelstream/voxelstream/serve/v2"
	"github.com/voxelstream/voxelstream/serve/v2/grpc/inference"
)

// ServerMetadata names the program and the extensions of the protocol that it has.
func (s *Server) ServerMetadata(
	context.Context, *inference.ServerMetadataRequest,
) (*inference.ServerMetadataResponse, error) {
	return &inference.ServerMetadataResponse{
		Name: "voxelstream", Version: s.o.Version,
		Extensions: v2.Extensions(),
	}, nil
}

// ModelMetadata describes the tensors of a model. Shapes include the batch.
func (s *Server) ModelMetadata(
	_ context.Context, r *inference.ModelMetadataRequest,
) (*inference.ModelMetadataResponse, error) {
	m, err := s.o.Models.Model(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	d := m.Metadata()
	return &inference.ModelMetadataResponse{
		Name: d.Name, Versions: d.Versions, Platform: v2.Platform,
		Inputs: tensors(d.Inputs), Outputs: tensors(d.Outputs),
	}, nil
}

func tensors(infos []models.TensorInfo) []*inference.ModelMetadataResponse_TensorMetadata {
	var out []*inference.ModelMetadataResponse_TensorMetadata
	for _, t := range infos {
		out = append(
			out,
			&inference.ModelMetadataResponse_TensorMetadata{Name: t.Name, Datatype: t.Type, Shape: t.Shape},
		)
	}
	return out
}

// ModelConfig describes a model as Triton's configuration does. Shapes are without the batch.
func (s *Server) ModelConfig(
	_ context.Context, r *inference.ModelConfigRequest,
) (*inference.ModelConfigResponse, error) {
	m, err := s.o.Models.Model(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	d := m.Metadata()
	c := &inference.ModelConfig{
		Name: d.Name, Platform: v2.Platform, Backend: v2.Platform, MaxBatchSize: int32(d.MaxBatch),
		DynamicBatching: &inference.ModelDynamicBatching{},
	}
	for _, t := range d.Inputs {
		c.Input = append(c.Input, &inference.ModelInput{
			Name: t.Name, DataType: inference.DataType_TYPE_FP32, Dims: t.Shape[1:],
		})
	}
	for _, t := range d.Outputs {
		c.Output = append(c.Output, &inference.ModelOutput{
			Name: t.Name, DataType: inference.DataType_TYPE_FP32, Dims: t.Shape[1:],
		})
	}
	return &inference.ModelConfigResponse{Config: c}, nil
}

// ModelStatistics returns the statistics of a version, of a model, or of all models.
func (s *Server) ModelStatistics(
	_ context.Context, r *inference.ModelStatisticsRequest,
) (*inference.ModelStatisticsResponse, error) {
	all, err := s.o.Models.Loaded(r.GetName(), r.GetVersion())
	if err != nil {
		return nil, err
	}
	out := &inference.ModelStatisticsResponse{}
	for _, m := range all {
		d, st := m.Metadata(), m.Statistics()
		one := &inference.ModelStatistics{
			Name: d.Name, Version: d.Version, InferenceCount: st.Rows, ExecutionCount: st.Batches,
			InferenceStats: &inference.InferStatistics{
				Success: duration(st.Success), Fail: duration(st.Fail), Queue: duration(st.Queue),
				ComputeInput: duration(st.Input), ComputeInfer: duration(st.Infer), ComputeOutput: duration(st.Output),
			},
		}
		if !st.Last.IsZero() {
			one.LastInference = uint64(st.Last.UnixMilli()) // after 1970
		}
		out.ModelStats = append(out.ModelStats, one)
	}
	return out, nil
}

func duration(t models.Total) *inference.StatisticDuration {
	return &inference.StatisticDuration{Count: t.Count, Ns: uint64(max(t.Time, 0))}
}

// RepositoryIndex lists the versions of all models. There is one repository, so its name must be empty.
func (s *Server) RepositoryIndex(
	_ context.Context, r *inference.RepositoryIndexRequest,
) (*inference.RepositoryIndexResponse, error) {
	if err := onlyRepository(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	out := &inference.RepositoryIndexResponse{}
	for _, m := range s.o.Models.Models() {
		if r.GetReady() && m.State != models.StateReady {
			continue
		}
		out.Models = append(out.Models, &inference.RepositoryIndexResponse_ModelIndex{
			Name: m.Name, Version: m.Version, State: string(m.State), Reason: m.Reason,
		})
	}
	return out, nil
}

// RepositoryModelLoad loads a model from its file again.
func (s *Server) RepositoryModelLoad(
	ctx context.Context, r *inference.RepositoryModelLoadRequest,
) (*inference.RepositoryModelLoadResponse, error) {
	if err := s.control(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	for name := range r.GetParameters() {
		if name == "config" || strings.HasPrefix(name, "file:") {
			return nil, invalid("parameter %.64q is not supported: models are loaded from the server's files", name)
		}
	}
	return &inference.RepositoryModelLoadResponse{}, s.o.Models.Load(ctx, r.GetModelName())
}

// RepositoryModelUnload unloads a model. Parameters are ignored: a model has no dependents.
func (s *Server) RepositoryModelUnload(
	_ context.Context, r *inference.RepositoryModelUnloadRequest,
) (*inference.RepositoryModelUnloadResponse, error) {
	if err := s.control(r.GetRepositoryName()); err != nil {
		return nil, err
	}
	return &inference.RepositoryModelUnloadResponse{}, s.o.Models.Unload(r.GetModelName())
}

// control returns an error if clients may not load and unload models of a repository.
func (s *Server) control(repository string) error {
	if !s.o.Control {
		return status.Error(codes.PermissionDenied, "load and unload are turned off: serve.control is false")
	}
	return onlyRepository(repository)
}

func onlyRepository(name string) error {
	if name != "" {
		return invalid("repository '%.128s': want no repository name, because there is one repository", name)
	}
	return nil
}
