// Copyright 2026 The Kohort Authors. SPDX-License-Identifier: Apache-2.0

package fakeserver

import (
	"context"
	"crypto/sha256"
	"fmt"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "github.com/kohort-health/kohort/clients/go/kohort/v1"
)

func defaultPolicy(version int) *pb.ReleasePolicy {
	return &pb.ReleasePolicy{MinHoldoutPatients: 100, Etag: fmt.Sprint(version)}
}

// Evaluate implements the service; the job has done its work at once.
func (s *Server) Evaluate(
	request *pb.EvaluateRequest, stream grpc.ServerStreamingServer[pb.EvaluateResponse],
) error {
	s.mutex.Lock()
	if request.GetModel() != "" {
		if _, err := find(s.models, request.GetModel(), "MODEL_NOT_FOUND"); err != nil {
			s.mutex.Unlock()
			return err
		}
	}
	j, created := s.jobOf(request.GetRequestId(), &pb.Job{
		Dataset: request.GetDataset(), Kind: pb.JobKind_JOB_KIND_EVALUATE, DisplayName: request.GetDisplayName(),
	})
	if created {
		report := &pb.Report{
			Name: numbered("reports", len(s.reports)), Model: request.GetModel(), Job: j.GetName(),
			SyntheticDataset: request.GetSyntheticDataset(), Dataset: request.GetDataset(),
			HoldoutDataset: request.GetHoldoutDataset(), Options: request.GetOptions(),
		}
		s.reports = append(s.reports, report)
		j.now.Report = report.GetName()
		s.end(j, pb.JobState_JOB_STATE_SUCCEEDED)
	}
	s.mutex.Unlock()
	return s.follow(stream.Context(), j, 0, func(update *pb.JobUpdate) error {
		return stream.Send(&pb.EvaluateResponse{Message: &pb.EvaluateResponse_Update{Update: update}})
	})
}

// GetReport implements the service.
func (s *Server) GetReport(_ context.Context, request *pb.GetReportRequest) (*pb.GetReportResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	report, err := find(s.reports, request.GetName(), "REPORT_NOT_FOUND")
	return &pb.GetReportResponse{Report: report}, err
}

// ListReports implements the service.
func (s *Server) ListReports(_ context.Context, request *pb.ListReportsRequest) (*pb.ListReportsResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	reports := []*pb.Report{}
	for _, report := range s.reports {
		if request.GetModel() == "" || request.GetModel() == report.GetModel() {
			reports = append(reports, report)
		}
	}
	reports, next, err := page(reports, request.GetPageToken())
	return &pb.ListReportsResponse{Reports: reports, NextPageToken: next}, err
}

// DownloadReport implements the service.
func (s *Server) DownloadReport(
	request *pb.DownloadReportRequest, stream grpc.ServerStreamingServer[pb.DownloadReportResponse],
) error {
	s.mutex.Lock()
	_, err := find(s.reports, request.GetName(), "REPORT_NOT_FOUND")
	s.mutex.Unlock()
	if err != nil {
		return err
	}
	file := []byte("<title>" + request.GetName() + "</title>\n")
	digest := sha256.Sum256(file)
	header := &pb.ReportFile{SizeBytes: int64(len(file)), Sha256: digest[:], MediaType: "text/html"}
	if err := stream.Send(&pb.DownloadReportResponse{Part: &pb.DownloadReportResponse_Header{Header: header}}); err != nil {
		return err
	}
	return stream.Send(&pb.DownloadReportResponse{Part: &pb.DownloadReportResponse_Data{Data: file}})
}

// DeleteReport implements the service.
func (s *Server) DeleteReport(_ context.Context, request *pb.DeleteReportRequest) (*pb.DeleteReportResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	_, err := find(s.reports, request.GetName(), "REPORT_NOT_FOUND")
	s.reports = without(s.reports, request.GetName())
	return &pb.DeleteReportResponse{}, err
}

// GetReleasePolicy implements the service.
func (s *Server) GetReleasePolicy(context.Context, *pb.GetReleasePolicyRequest) (*pb.GetReleasePolicyResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return &pb.GetReleasePolicyResponse{Policy: s.policy}, nil
}

// UpdateReleasePolicy implements the service.
func (s *Server) UpdateReleasePolicy(
	_ context.Context, request *pb.UpdateReleasePolicyRequest,
) (*pb.UpdateReleasePolicyResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	wanted := request.GetPolicy()
	if request.GetReset_() {
		wanted = defaultPolicy(0)
	} else if wanted.GetEtag() != s.policy.GetEtag() {
		return nil, Refusal{Code: codes.Aborted, Reason: "ETAG_MISMATCH"}.Err()
	}
	wanted.Etag = s.policy.GetEtag() + "+"
	s.policy = wanted
	return &pb.UpdateReleasePolicyResponse{Policy: wanted}, nil
}

// OverrideRelease implements the service.
func (s *Server) OverrideRelease(
	_ context.Context, request *pb.OverrideReleaseRequest,
) (*pb.OverrideReleaseResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	model, err := find(s.models, request.GetModel(), "MODEL_NOT_FOUND")
	if err != nil {
		return nil, err
	}
	model.Release = &pb.Release{
		State: request.GetState(), Override: &pb.ReleaseOverride{State: request.GetState(), Reason: request.GetReason()},
	}
	return &pb.OverrideReleaseResponse{Release: model.GetRelease()}, nil
}
