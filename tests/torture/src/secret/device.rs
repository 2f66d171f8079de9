//! An OPC UA server that wants a user name and a password, without security and with it: the historian has to send them, as they are where the
//! channel is encrypted.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use opcua::{
    crypto::SecurityPolicy,
    nodes::VariableBuilder,
    server::{
        ServerBuilder, ServerEndpoint, ServerUserToken,
        authenticator::{AuthManager, Password, UserToken, user_pass_security_policy_id},
        node_manager::memory::{SimpleNodeManager, simple_node_manager},
    },
    types::{DataTypeId, Error, NodeId, ObjectId, QualifiedName, StatusCode, UserTokenPolicy, UserTokenType, VariableTypeId, Variant},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub const USER: &str = "plant";
const NAMESPACE: &str = "urn:torture:plant";
/// As an address of a tag.
pub const NODE: &str = "nsu=urn:torture:plant;s=Note";

/// Who may come in: one user, whose password is not encrypted once more, as many devices have it.
struct OneUser {
    password: String,
}

#[async_trait]
impl AuthManager for OneUser {
    async fn authenticate_username_identity_token(&self, _: &ServerEndpoint, user: &str, password: &Password) -> Result<UserToken, Error> {
        if (user, password.get()) == (USER, self.password.as_str()) {
            Ok(UserToken(USER.to_owned()))
        } else {
            Err(Error::new(StatusCode::BadUserAccessDenied, "another user, or another password"))
        }
    }

    fn user_token_policies(&self, endpoint: &ServerEndpoint) -> Vec<UserTokenPolicy> {
        vec![UserTokenPolicy {
            policy_id: user_pass_security_policy_id(endpoint),
            token_type: UserTokenType::UserName,
            security_policy_uri: SecurityPolicy::None.to_uri().into(),
            ..UserTokenPolicy::default()
        }]
    }
}

/// Runs until it is dropped.
pub struct Device {
    pub address: SocketAddr,
    stop: CancellationToken,
    _serving: JoinHandle<()>,
}

impl Device {
    /// Listens on a free port of loopback; its one node has this text.
    ///
    /// # Errors
    /// It cannot make its certificate, or there is no port.
    pub async fn start(pki_dir: &Path, password: &str, text: &str) -> anyhow::Result<Device> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, stop) = (listener.local_addr()?, CancellationToken::new());
        let namespace = opcua::server::diagnostics::NamespaceMetadata { namespace_uri: NAMESPACE.to_owned(), ..Default::default() };
        let users = [USER.to_owned()];
        let mut encrypted = ServerEndpoint::new_basic256sha256_sign_encrypt("/", &users);
        encrypted.password_security_policy = Some("None".to_owned());
        let (server, handle) = ServerBuilder::new()
            .application_name("plant")
            .application_uri("urn:torture:server")
            .product_uri("urn:torture:server")
            .host(address.ip().to_string())
            .port(address.port())
            .pki_dir(pki_dir)
            .create_sample_keypair(true)
            .certificate_path("own/cert.der")
            .private_key_path("private/private.pem")
            .trust_client_certs(true)
            // As few as a small device has: a user that is refused must leave none behind.
            .max_sessions(20)
            .add_user_token(USER, ServerUserToken::user_pass(USER, password))
            .with_authenticator(Arc::new(OneUser { password: password.to_owned() }))
            .add_endpoint("none", ServerEndpoint::new_none("/", &users))
            .add_endpoint("encrypted", encrypted)
            .discovery_urls(vec!["/".to_owned()])
            .token(stop.clone())
            .with_node_manager(simple_node_manager(namespace, "plant"))
            .build()
            .map_err(|error| anyhow!("no OPC UA server: {error}"))?;
        let index = handle.get_namespace_index(NAMESPACE).context("the namespace was not registered")?;
        let manager: Arc<SimpleNodeManager> = handle.node_managers().get_of_type().context("there is no node manager")?;
        VariableBuilder::new(&NodeId::new(index, "Note"), QualifiedName::new(index, "Note"), "Note")
            .data_type(DataTypeId::String)
            .value(Variant::String(text.into()))
            .has_type_definition(VariableTypeId::BaseDataVariableType)
            .organized_by(NodeId::from(ObjectId::ObjectsFolder))
            .insert(&mut *manager.address_space().write());
        let serving = tokio::spawn(async move {
            // What ends it early is seen by whoever waits for its samples.
            let _ = server.run_with(listener).await;
        });
        Ok(Device { address, stop, _serving: serving })
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
