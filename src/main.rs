fn main() -> std::process::ExitCode {
    runner::command::main()
}
