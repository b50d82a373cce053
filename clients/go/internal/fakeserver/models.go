// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

// bundleSize takes several messages, and more than the window of a connection.
const bundleSize = 1 << 20

// AddModel publishes a model with a bundle of its own. Its name is made where it has
// none.
func (s *Server) AddModel(model *pb.Model) *pb.Model {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.addModel(model, nil)
}

func (s *Server) addModel(model *pb.Model, bundle []byte) *pb.Model {
	if model.GetName() == "" {
		model.Name = numbered("models", len(s.models))
	}
	if bundle == nil {
		bundle = bytes.Repeat([]byte(model.GetName()+"\n"), bundleSize/(len(model.GetName())+1))
	}
	digest := sha256.Sum256(bundle)
	model.BundleDigest, model.SizeBytes = digest[:], int64(len(bundle))
	s.models = append(s.models, model)
	s.bundles[model.GetName()] = bundle
	return model
}

// SpoilBundle changes one byte of a bundle and not its digest.
func (s *Server) SpoilBundle(name string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	spoiled := bytes.Clone(s.bundles[name])
	spoiled[len(spoiled)/2] ^= 1
	s.bundles[name] = spoiled
}

// GetModel implements the service.
func (s *Server) GetModel(_ context.Context, request *pb.GetModelRequest) (*pb.GetModelResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	model, err := find(s.models, request.GetName(), "MODEL_NOT_FOUND")
	return &pb.GetModelResponse{Model: model}, err
}

// ListModels implements the service.
func (s *Server) ListModels(_ context.Context, request *pb.ListModelsRequest) (*pb.ListModelsResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	models, next, err := page(s.models, request.GetPageToken())
	return &pb.ListModelsResponse{Models: models, NextPageToken: next}, err
}

// DeleteModel implements the service.
func (s *Server) DeleteModel(_ context.Context, request *pb.DeleteModelRequest) (*pb.DeleteModelResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, err := find(s.models, request.GetName(), "MODEL_NOT_FOUND")
	s.models = without(s.models, request.GetName())
	return &pb.DeleteModelResponse{}, err
}

// DownloadModel implements the service.
func (s *Server) DownloadModel(
	request *pb.DownloadModelRequest, stream grpc.ServerStreamingServer[pb.DownloadModelResponse],
) error {
	s.mutex.Lock()
	model, err := find(s.models, request.GetName(), "MODEL_NOT_FOUND")
	bundle := s.bundles[request.GetName()]
	s.mutex.Unlock()
	if err != nil {
		return err
	}
	info := &pb.BundleInfo{SizeBytes: model.GetSizeBytes(), Sha256: model.GetBundleDigest()}
	err = stream.Send(&pb.DownloadModelResponse{Part: &pb.DownloadModelResponse_Header{Header: info}})
	for len(bundle) > 0 && err == nil {
		n := min(64<<10, len(bundle))
		err = stream.Send(&pb.DownloadModelResponse{Part: &pb.DownloadModelResponse_Data{Data: bundle[:n]}})
		bundle = bundle[n:]
	}
	return err
}

// ImportModel implements the service.
func (s *Server) ImportModel(
	stream grpc.ClientStreamingServer[pb.ImportModelRequest, pb.ImportModelResponse],
) error {
	var header *pb.ImportHeader
	var bundle []byte
	for {
		message, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if header == nil {
			header = message.GetHeader()
		}
		bundle = append(bundle, message.GetData()...)
	}
	if digest := sha256.Sum256(bundle); !bytes.Equal(digest[:], header.GetSha256()) {
		return Refusal{Code: codes.InvalidArgument, Reason: "DIGEST_MISMATCH", Fields: []string{"sha256"}}.Err()
	}
	s.mutex.Lock()
	name, known := s.created[header.GetRequestId()]
	model, _ := find(s.models, name, "")
	if !known {
		model = s.addModel(&pb.Model{DisplayName: header.GetDisplayName(), Labels: header.GetLabels()}, bundle)
		s.created[header.GetRequestId()] = model.GetName()
	}
	s.mutex.Unlock()
	return stream.SendAndClose(&pb.ImportModelResponse{Model: model})
}
