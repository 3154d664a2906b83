# Homebrew formula. scripts/package fills in version, commit and checksum.
class Voxelstream < Formula
  desc "Turn depth frames, lidar scans and HDF5 into voxel grids and classify them"
  homepage "https://github.com/voxelstream/voxelstream"
  url "https://github.com/voxelstream/voxelstream/releases/download/v@VERSION@/voxelstream-@VERSION@-source.tar.gz"
  version "@VERSION@"
  sha256 "@SHA256@"
  license "Apache-2.0"

  depends_on "go" => :build
  depends_on "hdf5"
  depends_on "libdeflate"

  def install
    app = "github.com/voxelstream/voxelstream/app"
    ENV["CGO_ENABLED"] = "1"
    system "go", "build", *std_go_args(ldflags: "-s -w -X #{app}.Version=#{version} -X #{app}.Commit=@COMMIT@"),
           "./cmd/voxelstream"
    generate_completions_from_executable(bin/"voxelstream", "completion")
    system bin/"voxelstream", "docs", "--man", man1
    pkgshare.install "config.yaml"
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/voxelstream version")
    system bin/"voxelstream", "generate", "--count", "4", "--out", "digits.h5"
    assert_match(/rows +4$/, shell_output("#{bin}/voxelstream inspect digits.h5"))
  end
end
