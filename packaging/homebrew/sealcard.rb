# Made by `cargo xtask dist` for each release from packaging/homebrew/sealcard.rb in the source.
class Sealcard < Formula
  desc "OpenPGP signing keys of a Sealcard server as smart cards"
  homepage "@HOMEPAGE@"
  url "@URL@"
  sha256 "@SHA256@"
  license all_of: [{ any_of: ["MIT", "Apache-2.0"] }, "LGPL-2.0-or-later"]

  depends_on "rust" => :build
  depends_on "gnupg"

  def install
    system "cargo", "install", *std_cargo_args(path: "scdaemon-bridge")
    system bin/"sealcard", "man", "--out", buildpath/"man"
    man1.install Dir["man/*.1"], "packaging/man/sealcard-scdaemon.1"
    generate_completions_from_executable(bin/"sealcard", "completions", shells: [:bash, :zsh, :fish])
    pkgshare.install "packaging/launchd/org.sealcard.ssh-agent.plist"
  end

  def caveats
    <<~EOS
      Log in to your team's server and let gpg use its keys:
        sealcard login https://SERVER:8443 --setup

      For ssh see the job in #{opt_pkgshare}.
    EOS
  end

  test do
    assert_match version.to_s, shell_output("#{bin}/sealcard --version")
    assert_match version.to_s, shell_output("#{bin}/sealcard-scdaemon --version")
  end
end
