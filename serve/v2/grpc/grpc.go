// Package grpc serves models by the Open Inference Protocol v2 over gRPC, with the model repository, configuration and
// statistics calls that clients of Triton Inference Server use, and the gRPC health check.
package grpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/netutil"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress requests
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/voxelstream/voxelstream/serve/models"
	"github.com/voxelstream/voxelstream/serve/v2/grpc/inference"
)

// Limits for clients.
const (
	maxStreams     = 256      // concurrent calls of a connection
	maxConnections = 1024     // further ones wait until one is closed
	maxHeaders     = 64 << 10 // bytes
	// pipelined is the number of requests of one ModelStreamInfer that are processed at the same time.
	pipelined = 16
	// window is the number of bytes that a call may have in flight, so that usual tensors take one round trip.
	window = 1 << 20
	// idle is the time without calls after which a connection is closed.
	idle = 10 * time.Minute
	// connecting is the time in which a client must finish its handshake.
	connecting = 10 * time.Second
)

// Options configure a [Server].
type Options struct {
	// Models are the models that are served.
	Models *models.Repository
	// Version is the version of the program.
	Version string
	// MaxMessage is the maximum size of a request in bytes.
	MaxMessage int
	// Allow, if set, reports whether a token is valid and whether it permits what a method does. Clients send it as the
	// metadata "authorization: Bearer TOKEN". Health checks and ServerLive need none.
	Allow func(token string, n Need) (valid, permitted bool)
	// Control allows clients to load and unload models.
	Control bool
	// TLS, if set, encrypts all connections.
	TLS *tls.Config
}

// Server answers calls.
type Server struct {
	inference.UnimplementedGRPCInferenceServiceServer
	o    Options
	grpc *grpc.Server
}

// New returns a server. Call [Server.Serve], then [Server.Stop].
func New(o Options) *Server {
	s := &Server{o: o}
	encryption := insecure.NewCredentials()
	if o.TLS != nil {
		encryption = credentials.NewTLS(o.TLS)
	}
	s.grpc = grpc.NewServer(
		grpc.Creds(encryption),
		grpc.MaxRecvMsgSize(o.MaxMessage), grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaders),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(4*window), grpc.ConnectionTimeout(connecting),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: idle}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{
			MinTime: 5 * time.Second, PermitWithoutStream: true,
		}),
		grpc.UnaryInterceptor(s.unary), grpc.StreamInterceptor(s.stream),
	)
	inference.RegisterGRPCInferenceServiceServer(s.grpc, s)
	grpc_health_v1.RegisterHealthServer(s.grpc, &health{models: o.Models})
	return s
}

// Serve answers calls until Stop. It closes the listener.
func (s *Server) Serve(l net.Listener) error {
	err := s.grpc.Serve(netutil.LimitListener(l, maxConnections))
	if errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return err
}

// Stop refuses new calls, waits for those in progress until ctx ends, and closes all connections.
func (s *Server) Stop(ctx context.Context) {
	defer context.AfterFunc(ctx, s.grpc.Stop)()
	s.grpc.GracefulStop()
}

// Need is the kind of permission that a method needs.
type Need int

// The needs of methods.
const (
	// Nothing needs no token.
	Nothing Need = iota + 1
	// Look reads the state of the server and of its models.
	Look
	// Infer runs a model.
	Infer
	// Control loads or unloads models.
	Control
)

// needs are those of all methods. A method that is missing here is refused.
var needs = map[string]Need{
	grpc_health_v1.Health_Check_FullMethodName:                          Nothing,
	grpc_health_v1.Health_List_FullMethodName:                           Look,
	grpc_health_v1.Health_Watch_FullMethodName:                          Look,
	inference.GRPCInferenceService_ServerLive_FullMethodName:            Nothing,
	inference.GRPCInferenceService_ServerReady_FullMethodName:           Look,
	inference.GRPCInferenceService_ModelReady_FullMethodName:            Look,
	inference.GRPCInferenceService_ServerMetadata_FullMethodName:        Look,
	inference.GRPCInferenceService_ModelMetadata_FullMethodName:         Look,
	inference.GRPCInferenceService_ModelConfig_FullMethodName:           Look,
	inference.GRPCInferenceService_ModelStatistics_FullMethodName:       Look,
	inference.GRPCInferenceService_RepositoryIndex_FullMethodName:       Look,
	inference.GRPCInferenceService_ModelInfer_FullMethodName:            Infer,
	inference.GRPCInferenceService_ModelStreamInfer_FullMethodName:      Infer,
	inference.GRPCInferenceService_RepositoryModelLoad_FullMethodName:   Control,
	inference.GRPCInferenceService_RepositoryModelUnload_FullMethodName: Control,
}

// allowed returns an error if a call lacks a token that permits it.
func (s *Server) allowed(ctx context.Context, method string) error {
	need := needs[method]
	if s.o.Allow == nil || need == Nothing {
		return nil
	}
	token := ""
	if found := metadata.ValueFromIncomingContext(ctx, "authorization"); len(found) == 1 {
		if after, ok := strings.CutPrefix(found[0], "Bearer "); ok {
			token = after
		}
	}
	switch valid, permitted := s.o.Allow(token, need); {
	case !valid:
		return status.Error(codes.Unauthenticated, "missing or wrong token: want the metadata authorization: Bearer TOKEN")
	case !permitted || need == 0:
		return status.Error(codes.PermissionDenied, "the role of the token does not permit "+method)
	}
	return nil
}

func (s *Server) unary(
	ctx context.Context, request any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	if err := s.allowed(ctx, info.FullMethod); err != nil {
		return nil, err
	}
	response, err := next(ctx, request)
	if pause := pushback(err); pause > 0 {
		_ = grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", strconv.FormatInt(pause.Milliseconds(), 10)))
	}
	return response, statusOf(err)
}

func (s *Server) stream(
	service any,
	stream grpc.ServerStream,
	info *grpc.StreamServerInfo,
	next grpc.StreamHandler,
) error {
	if err := s.allowed(stream.Context(), info.FullMethod); err != nil {
		return err
	}
	return next(service, stream)
}

// pushback returns the time after which a request that failed may succeed, or 0.
func pushback(err error) time.Duration {
	if e, ok := errors.AsType[*models.Error](err); ok {
		return e.RetryAfter
	}
	return 0
}

// code returns the code of an error's reason.
func code(r models.Reason) codes.Code {
	switch r {
	case models.Invalid:
		return codes.InvalidArgument
	case models.NotFound:
		return codes.NotFound
	case models.Overloaded:
		return codes.ResourceExhausted
	case models.Unavailable:
		return codes.Unavailable
	case models.Expired:
		return codes.DeadlineExceeded
	case models.Canceled:
		return codes.Canceled
	}
	return codes.Internal
}

// statusOf converts an error to one with a code.
func statusOf(err error) error {
	if e, ok := errors.AsType[*models.Error](err); ok {
		return status.Error(code(e.Reason), e.Error())
	}
	return err
}

func invalid(format string, args ...any) error {
	return &models.Error{Reason: models.Invalid, Err: fmt.Errorf(format, args...)}
}

// ServerLive reports that the process answers.
func (s *Server) ServerLive(context.Context, *inference.ServerLiveRequest) (*inference.ServerLiveResponse, error) {
	return &inference.ServerLiveResponse{Live: true}, nil
}

// ServerReady reports whether the models are loaded.
func (s *Server) ServerReady(
	ctx context.Context,
	_ *inference.ServerReadyRequest,
) (*inference.ServerReadyResponse, error) {
	return &inference.ServerReadyResponse{Ready: s.o.Models.Ready(ctx) == nil}, nil
}

// ModelReady reports whether a version is loaded. An unknown model is an error.
func (s *Server) ModelReady(
	_ context.Context, r *inference.ModelReadyRequest,
) (*inference.ModelReadyResponse, error) {
	_, err := s.o.Models.Model(r.GetName(), r.GetVersion())
	if e, ok := errors.AsType[*models.Error](err); ok && e.Reason == models.Unavailable {
		return &inference.ModelReadyResponse{}, nil
	}
	return &inference.ModelReadyResponse{Ready: true}, err
}

// ModelInfer runs a network.
func (s *Server) ModelInfer(
	ctx context.Context,
	r *inference.ModelInferRequest,
) (*inference.ModelInferResponse, error) {
	m, err := s.o.Models.Model(r.GetModelName(), r.GetModelVersion())
	if err != nil {
		return nil, err
	}
	request, timeout, err := requestOf(r)
	if err != nil {
		return nil, err
	}
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	response, err := m.Infer(ctx, request)
	if err != nil {
		return nil, err
	}
	return responseOf(r, m, &response)
}

// ModelStreamInfer processes several requests at the same time and answers them in order.
func (s *Server) ModelStreamInfer(
	stream grpc.BidiStreamingServer[inference.ModelInferRequest, inference.ModelStreamInferResponse],
) error {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	answers := make(chan chan *inference.ModelStreamInferResponse, pipelined)
	var failed error // of the reader; read after answers is closed
	go func() {
		defer close(answers)
		for {
			r, err := stream.Recv()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					failed = err
				}
				return
			}
			answer := make(chan *inference.ModelStreamInferResponse, 1)
			select {
			case answers <- answer:
			case <-ctx.Done():
				return
			}
			go func() { answer <- s.streamed(ctx, r) }()
		}
	}()
	for answer := range answers {
		if err := stream.Send(<-answer); err != nil {
			return err
		}
	}
	return failed
}

// emptyFinal is the parameter by which clients of Triton ask for a mark on the last response to a request.
const emptyFinal = "triton_enable_empty_final_response"

// streamed answers one request of a stream.
func (s *Server) streamed(ctx context.Context, r *inference.ModelInferRequest) *inference.ModelStreamInferResponse {
	final := r.GetParameters()[emptyFinal].GetBoolParam()
	response, err := s.ModelInfer(ctx, r)
	out := &inference.ModelStreamInferResponse{InferResponse: response}
	if err != nil {
		out.ErrorMessage = err.Error()
		out.InferResponse = &inference.ModelInferResponse{ModelName: r.GetModelName(), Id: r.GetId()}
	}
	if final {
		out.InferResponse.Parameters = map[string]*inference.InferParameter{
			"triton_final_response": {ParameterChoice: &inference.InferParameter_BoolParam{BoolParam: true}},
		}
	}
	return out
}

// health answers the health checks of gRPC. The name of the service is ignored: there is one.
type health struct {
	grpc_health_v1.UnimplementedHealthServer
	models *models.Repository
}

// Check reports whether the models are loaded.
func (h *health) Check(
	ctx context.Context, _ *grpc_health_v1.HealthCheckRequest,
) (*grpc_health_v1.HealthCheckResponse, error) {
	r := &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}
	if h.models.Ready(ctx) != nil {
		r.Status = grpc_health_v1.HealthCheckResponse_NOT_SERVING
	}
	return r, nil
}
