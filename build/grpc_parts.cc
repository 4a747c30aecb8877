// The parts of the gRPC C core that this program has. The core registers all that it knows when it starts, so that a
// linker must keep all of it: look-ups of names, eight ways to spread calls over backends and the protocols that
// these speak, proxies, injected faults. Here are a server on a unix socket and a client on one.
//
// This function is defined in the core's library as well, in an object of its own that nothing else is in
// (src/core/plugin_registry/grpc_plugin_registry.cc of gRPC 1.56); a linker that has it from here leaves that one
// out. What is registered, and the order, are those of the core. `build.rs` says how it is linked.

namespace grpc_core {

// Only pointers to it are passed on.
class CoreConfiguration {
 public:
  class Builder;
};

}  // namespace grpc_core

using Builder = grpc_core::CoreConfiguration::Builder;

namespace grpc_event_engine {
namespace experimental {
void RegisterEventEngineChannelArgPreconditioning(Builder* builder);
}  // namespace experimental
}  // namespace grpc_event_engine

namespace grpc_core {

void BuildClientChannelConfiguration(Builder* builder);
void RegisterBuiltins(Builder* builder);
void RegisterChannelIdleFilters(Builder* builder);
void RegisterClientAuthorityFilter(Builder* builder);
void RegisterDeadlineFilter(Builder* builder);
void RegisterHttpFilters(Builder* builder);
void RegisterMessageSizeFilter(Builder* builder);
void RegisterPickFirstLbPolicy(Builder* builder);
void RegisterResourceQuota(Builder* builder);
void RegisterSecurityFilters(Builder* builder);
void RegisterServiceConfigChannelArgFilter(Builder* builder);
void RegisterSockaddrResolver(Builder* builder);
void RegisterTCPConnectHandshaker(Builder* builder);
void SecurityRegisterHandshakerFactories(Builder* builder);

void BuildCoreConfiguration(Builder* builder) {
  grpc_event_engine::experimental::RegisterEventEngineChannelArgPreconditioning(builder);
  RegisterTCPConnectHandshaker(builder);
  RegisterPickFirstLbPolicy(builder);
  BuildClientChannelConfiguration(builder);
  SecurityRegisterHandshakerFactories(builder);
  RegisterClientAuthorityFilter(builder);
  RegisterChannelIdleFilters(builder);
  RegisterHttpFilters(builder);
  RegisterDeadlineFilter(builder);
  RegisterMessageSizeFilter(builder);
  RegisterServiceConfigChannelArgFilter(builder);
  RegisterResourceQuota(builder);
  RegisterSockaddrResolver(builder);
  RegisterSecurityFilters(builder);
  RegisterBuiltins(builder);
}

}  // namespace grpc_core
